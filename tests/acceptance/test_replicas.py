"""`serve` with two replicas: queries are answered by them, also right after a write, and /metrics says so.

While the primary is gone they answer on.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayproject.runtime.postgres import DATABASE, PORT, USER
from relayproject.runtime.processes import living_in
from tests.acceptance.client import Client
from tests.acceptance.faults.load import Ledger, new_author, stored_of
from tests.acceptance.faults.outages import Way
from tests.acceptance.relay_process import RelayProcess, running, wait_for
from tests.events import NOW, sign_event
from tests.integration.storage.servers import Machine, Machines, machines

SECRET_KEY = "a key for tests alone, long enough for the checks: 0123456789"
HANG_SECONDS = 5.0
"""The promise: no client waits longer for an answer while the primary is gone."""

MACHINE_SECONDS = 1.0
"""Allowed beyond it on a machine that runs other tests."""


@pytest.fixture(scope="module")
def made() -> Iterator[Machines]:
    with machines() as found:
        yield found


def url(machine: Machine, options: str = "") -> str:
    return f"postgresql://{USER}@/{DATABASE}?host={machine.server.sockets}&port={PORT}{options}"


@pytest.fixture(scope="module")
def primary(made: Machines, migrated_cluster: Path) -> Machine:
    machine = made.copy_of(migrated_cluster)
    machine.start()
    return machine


@pytest.fixture(scope="module")
def relay(made: Machines, primary: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    standbys = [made.keep(primary.standby(made.place())) for _ in range(2)]
    for standby in standbys:
        standby.start_as_standby()
    settings = {
        "DATABASE_URL": url(primary),
        "REPLICA_URLS": f"{url(standbys[0])},{url(standbys[1], '&weight=2&zone=b')}",
        "SECRET_KEY": SECRET_KEY,
        "RELAY_CACHE_LAYERS": "none",
    }
    with running(RelayProcess(tmp_path_factory.mktemp("replicas"), roles="web", settings=settings)) as started:
        yield started


def metric(relay: RelayProcess, name: str, label: str) -> float:
    _, page = relay.get("/metrics")
    found = [line for line in page.splitlines() if line.startswith(f"{name}{{") and f'"{label}"' in line]
    return float(found[0].split()[-1]) if found else -1.0


async def test_what_was_just_published_is_in_the_answer_of_a_replica(relay: RelayProcess) -> None:
    wait_for(lambda: metric(relay, "relay_replica_up", "replica_1") == 1, "the first replica")
    wait_for(lambda: metric(relay, "relay_replica_up", "replica_2") == 1, "the second replica")
    async with Client(relay.ws_url) as client:
        for number in range(60):
            event = sign_event(content=f"{number}", created_at=NOW + number)
            assert (await client.publish(event)).accepted
            answer = await client.request(f"r{number}", {"kinds": [1], "limit": 3})
            assert answer.events[0]["id"] == event["id"]
    first, second = "replica_1", "replica_2"
    wait_for(lambda: metric(relay, "relay_replica_answers_total", second) > 10, "answers of the second replica")
    answers = {name: metric(relay, "relay_replica_answers_total", name) for name in (first, second)}
    assert answers[second] > answers[first] > 0
    assert metric(relay, "relay_replica_lag_changes", first) >= 0


def signal_all(machine: Machine, number: signal.Signals) -> None:
    for pid in living_in(machine.server.data, "postgres"):
        os.kill(pid, number)


def give_back(machine: Machine, way: Way) -> None:
    if way == "hangs":
        signal_all(machine, signal.SIGCONT)
        return
    assert machine.server.process is not None
    machine.server.process.wait(5.0)
    machine.start()


@pytest.mark.parametrize("way", ["hangs", "gone"])
async def test_replicas_answer_on_while_the_primary_is_gone(relay: RelayProcess, primary: Machine, way: Way) -> None:
    for name in ("replica_1", "replica_2"):
        wait_for(lambda name=name: metric(relay, "relay_replica_up", name) == 1, name)  # type: ignore[misc]
    ledger = Ledger(relay.ws_url, new_author())
    await ledger.acknowledged_more(30, 10.0)
    answered = metric(relay, "relay_replica_answers_total", "replica_2")
    async with Client(relay.ws_url) as client:
        signal_all(primary, signal.SIGSTOP if way == "hangs" else signal.SIGKILL)
        longest = 0.0
        try:
            while not ledger.refused or longest == 0.0:
                known, sent = set(ledger.acknowledged), time.monotonic()
                found = await client.query({"authors": [ledger.pubkey], "limit": 500})
                assert found.closed is None
                assert known <= set(found.ids)
                longest = max(longest, time.monotonic() - sent)
            for _ in range(20):
                found = await client.query({"authors": [ledger.pubkey], "limit": 500})
                assert (found.closed, known - set(found.ids)) == (None, set())
        finally:
            give_back(primary, way)
        assert longest < HANG_SECONDS + MACHINE_SECONDS
        wait_for(  # a worker tells its counts once a second
            lambda: metric(relay, "relay_replica_answers_total", "replica_2") > answered + 5, "answers of a replica"
        )
        await ledger.acknowledged_more(20, HANG_SECONDS + MACHINE_SECONDS)
        await ledger.finish()
        assert await stored_of(client, ledger.acknowledged) == set(ledger.acknowledged)

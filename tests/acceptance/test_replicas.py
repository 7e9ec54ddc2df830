"""`serve` with two replicas: queries are answered by them, also right after a write, and /metrics says so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relayproject.runtime.postgres import DATABASE, PORT, USER
from tests.acceptance.client import Client
from tests.acceptance.relay_process import RelayProcess, running, wait_for
from tests.events import NOW, sign_event
from tests.integration.storage.servers import Machine, Machines, machines

SECRET_KEY = "a key for tests alone, long enough for the checks: 0123456789"


@pytest.fixture(scope="module")
def made() -> Iterator[Machines]:
    with machines() as found:
        yield found


def url(machine: Machine, options: str = "") -> str:
    return f"postgresql://{USER}@/{DATABASE}?host={machine.server.sockets}&port={PORT}{options}"


@pytest.fixture(scope="module")
def relay(made: Machines, migrated_cluster: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    primary = made.copy_of(migrated_cluster)
    primary.start()
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

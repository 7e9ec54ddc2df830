"""/metrics of a whole relay: complete, the same from each worker, closed to strangers, and of use to Prometheus."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relayproject.runtime.processes import living_in
from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.conftest import CopyOfMigrated
from tests.acceptance.prometheus_server import PrometheusServer
from tests.acceptance.relay_process import RelayProcess, running, wait_for

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/operations/metrics.md"

COUNTING = {
    "RELAY_SWEEP_SECONDS": "1",
    "RELAY_METRICS_TOKEN": "of the operators",
    "RELAY_TRUSTED_PROXIES": "127.0.0.1",
}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(relay: RelayProcess) -> Samples:
    """Every sample of /metrics by name and labels."""
    status, text = relay.get("/metrics")
    assert status == 200, text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(relay: RelayProcess, name: str, /, **labels: str) -> float:
    return samples(relay).get((name, frozenset(labels.items())), 0.0)


async def publish(relay: RelayProcess, events: int) -> None:
    """Publish over as many connections, so that every worker gets some, and ask once."""
    author = Author()

    async def one(number: int) -> None:
        async with Client(relay.ws_url) as client:
            assert (await client.publish(author.event(str(number)))).accepted
            await client.query(author.events)

    await asyncio.gather(*[one(number) for number in range(events)])


def test_the_names_on_a_running_relay_are_those_of_the_document(relay: RelayProcess) -> None:
    relay.get("/admin/login/")
    shown = set(re.findall(r"(?m)^# TYPE (\S+)", relay.get("/metrics")[1]))
    documented = set(re.findall(r"(?m)^\| `([a-z_]+)` \|", DOCUMENT.read_text()))

    assert shown == documented


def test_behind_an_unknown_proxy_no_client_is_admitted_by_address(relay: RelayProcess) -> None:
    assert relay.get("/metrics", {"X-Forwarded-For": "127.0.0.1"})[0] == 403


@pytest.fixture(scope="module")
def counting(copy_of_migrated: CopyOfMigrated) -> Iterator[RelayProcess]:
    """A relay of two workers whose processes may be killed, with a job each second, behind a trusted proxy."""
    with running(RelayProcess(copy_of_migrated("counting"), workers=2, settings=COUNTING)) as process:
        yield process


def test_strangers_are_refused_and_the_token_or_an_allowed_address_lets_in(counting: RelayProcess) -> None:
    def answer(address: str, authorization: str = "") -> int:
        """To a client behind the trusted proxy, which this test is."""
        return counting.get("/metrics", {"X-Forwarded-For": address, "Authorization": authorization})[0]

    assert answer("203.0.113.9") == 403
    assert answer("127.0.0.1, 203.0.113.9") == 403
    assert answer("203.0.113.9", "Bearer of others") == 403
    assert answer("203.0.113.9", "Bearer of the operators") == 200
    assert answer("203.0.113.9, 127.0.0.2") == 200


async def test_every_worker_answers_for_all(counting: RelayProcess) -> None:
    stored = "nostr_events_stored_total"
    before = value(counting, stored)
    await publish(counting, 12)
    wait_for(lambda: value(counting, stored) >= before + 12, "the figures of both workers on /metrics")

    assert {value(counting, stored) for _ in range(12)} == {before + 12}  # each asks on a connection of its own


async def test_workers_of_a_single_instance_read_positions_from_shared_memory(counting: RelayProcess) -> None:
    by_memory = "relay_barrier_from_memory_total"
    wait_for(lambda: value(counting, "relay_single_instance_lease") == 1, "the lease", 30.0)
    before, stored, published = value(counting, by_memory), value(counting, "nostr_events_stored_total"), 0
    async with asyncio.timeout(30):
        while value(counting, by_memory) == before:
            await publish(counting, 4)
            published += 4
    # The next test begins with what this one has done.
    wait_for(lambda: value(counting, "nostr_events_stored_total") >= stored + published, "the figures of both workers")


async def test_the_counts_of_a_killed_worker_stay_and_its_successor_goes_on(counting: RelayProcess) -> None:
    stored = "nostr_events_stored_total"
    before = value(counting, stored)
    await publish(counting, 12)
    wait_for(lambda: value(counting, stored) >= before + 12, "the figures of both workers on /metrics")

    killed = counting.workers()[0]
    os.kill(killed, signal.SIGKILL)
    seen = await asked_until_replaced(counting, killed, stored)
    await publish(counting, 12)
    wait_for(lambda: value(counting, stored) >= before + 24, "the counts of before and after")

    assert seen == {before + 12}  # never less, not for a moment
    assert value(counting, stored) == before + 24


def test_the_metrics_tell_of_a_server_of_bus_and_cache_that_hangs_and_of_its_return(counting: RelayProcess) -> None:
    reconnects = "relay_bus_reconnects_total"
    before = value(counting, reconnects)
    (valkey,) = living_in(counting.data_dir, "valkey-server")
    os.kill(valkey, signal.SIGSTOP)
    try:
        wait_for(lambda: value(counting, "relay_bus_up") == 0, "the bus being down on /metrics", 30.0)
        wait_for(lambda: value(counting, "relay_shared_cache_up") == 0, "the shared cache being away", 30.0)
    finally:
        os.kill(valkey, signal.SIGCONT)

    wait_for(lambda: value(counting, "relay_bus_up") == 1, "the bus being up again", 30.0)
    wait_for(lambda: value(counting, "relay_shared_cache_up") == 1, "the shared cache being back", 30.0)
    assert value(counting, reconnects) > before
    assert value(counting, "relay_shared_cache_timeouts_total") > 0
    assert value(counting, "relay_shared_cache_reconnects_total") > 0


def test_jobs_are_counted_by_name_and_outcome(counting: RelayProcess) -> None:
    task = {"task": "relay.tasks.sweep_expired"}
    wait_for(lambda: value(counting, "nostr_task_runs_total", **task, outcome="success") > 0, "a job", 30.0)

    assert value(counting, "nostr_task_seconds_count", **task) > 0
    assert value(counting, "nostr_task_last_success_timestamp_seconds", **task) > 0
    assert value(counting, "relay_job_last_success_timestamp_seconds", name="sweep-expired-events") > 0
    assert value(counting, "relay_job_interval_seconds", name="prune-change-log") == 300


async def asked_until_replaced(relay: RelayProcess, killed: int, name: str) -> set[float]:
    """Every value that a metric had from the death of a worker until another one shows its figures."""
    seen, replaced_at = set(), float("inf")
    async with asyncio.timeout(40):
        while True:
            await asyncio.sleep(0.1)
            try:
                found = samples(relay)
            except OSError:  # the connection was the dead one's
                continue
            seen.add(found[name, frozenset()])
            workers = relay.workers()
            if len(workers) == 2 and killed not in workers:
                replaced_at = min(replaced_at, time.time())
            try:
                written = [path.stat().st_mtime for path in relay.data_dir.glob("metrics/gauge_livesum_figures_*")]
            except FileNotFoundError:  # the dead one's, removed meanwhile
                continue
            if len(written) == 2 and min(written) > replaced_at:
                return seen


@pytest.fixture
def prometheus(relay: RelayProcess, tmp_path: Path) -> PrometheusServer:
    """A real Prometheus that scrapes the relay each second and waits for nothing before it fires."""
    return PrometheusServer(tmp_path, relay.port)


def test_a_real_prometheus_reads_a_running_relay_and_fires(prometheus: PrometheusServer) -> None:
    with prometheus:
        # The relay of the tests is quiet, which is what this alert is about; it is up, so that RelayDown is not.
        wait_for(lambda: "RelayEventRateLow" in prometheus.firing(), "the alert", 30.0)

        assert "RelayDown" not in prometheus.firing()
        assert prometheus.value("sum(nostr_workers)") == 2

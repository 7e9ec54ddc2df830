"""/metrics of a whole relay: complete, the same whoever answers, closed to strangers, and of use to Prometheus."""

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.conftest import StartRelay
from tests.acceptance.prometheus_server import PrometheusServer
from tests.acceptance.relay_process import RelayProcess, wait_for

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/operations/metrics.md"

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


def value(relay: RelayProcess, name: str, **labels: str) -> float:
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


def test_strangers_are_refused_and_a_token_or_a_listed_address_lets_in(start_relay: StartRelay) -> None:
    relay = start_relay(
        {
            "RELAY_METRICS_TOKEN": "of the operators",
            "RELAY_METRICS_ALLOW": "203.0.113.1",
            "RELAY_TRUSTED_PROXIES": "127.0.0.1",
        }
    )

    def answer(**headers: str) -> int:
        return relay.get("/metrics", {name.replace("_", "-"): text for name, text in headers.items()})[0]

    assert answer() == 403
    assert answer(Authorization="Bearer of others") == 403
    assert answer(Authorization="Bearer of the operators") == 200
    assert answer(X_Forwarded_For="203.0.113.1") == 200
    assert answer(X_Forwarded_For="203.0.113.1, 203.0.113.9") == 403


def test_behind_an_unknown_proxy_nobody_comes_in_by_address(relay: RelayProcess) -> None:
    assert relay.get("/metrics", {"X-Forwarded-For": "127.0.0.1"})[0] == 403


async def test_every_worker_answers_for_all_and_a_dead_ones_counts_stay(start_relay: StartRelay) -> None:
    relay = start_relay({"RELAY_SWEEP_SECONDS": "1"}, workers=2)
    await publish(relay, 12)
    stored = "nostr_events_stored_total"
    wait_for(lambda: value(relay, stored) == 12, "the figures of both workers on /metrics")

    assert {value(relay, stored) for _ in range(12)} == {12}  # each on a connection of its own: both answer

    killed = relay.workers()[0]
    os.kill(killed, signal.SIGKILL)
    seen = await asked_until_replaced(relay, killed, stored)
    await publish(relay, 12)
    wait_for(lambda: value(relay, stored) >= 24, "the counts of before and after")

    assert seen == {12}  # never less, not for a moment
    assert value(relay, stored) == 24

    task = {"task": "relay.tasks.sweep_expired", "outcome": "success"}
    wait_for(lambda: value(relay, "nostr_task_runs_total", **task) > 0, "a job on /metrics", 30.0)


async def asked_until_replaced(relay: RelayProcess, killed: int, name: str) -> set[float]:
    """Every value that a metric had from the death of a worker until another one shows its figures."""
    seen = set()
    async with asyncio.timeout(40):
        while True:
            await asyncio.sleep(0.1)
            try:
                found = samples(relay)
            except OSError:  # the connection was the dead one's
                continue
            seen.add(found[name, frozenset()])
            workers = sum(number for (each, _), number in found.items() if each == "nostr_workers")
            if workers == 2 and len(relay.workers()) == 2 and killed not in relay.workers():
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

"""What a worker counts reaches its figures, the metrics and the admin: every count is shown somewhere."""

from collections.abc import Iterator
from dataclasses import fields, replace

import pytest

from analytics.admin.cache_counts import TABLES, coordination, count_tables
from analytics.exposition import METRICS
from relay.caching.shared import Counters
from relay.conf import config
from relay.services.figures import EMPTY, snapshot
from relay.services.measure import measure
from relay.services.runtime import Relay
from relay.services.worker_figures import NOTHING, WorkerFigures, total
from relay.storage.primary import Look
from relay.transport.counters import counters as transport

UNREACHABLE_URL = "redis://127.0.0.1:1"
SHOWN_OTHERWISE = {"write_batches"}
"""As the count of a histogram."""
PARTS = ("barrier_", "flights_", "shared_", "bus_foreign", "cache_faults", "task_failures")
"""How the names of the counts begin that the admin shows beside the caches."""


Counter = tuple[object, str]
"""An object and the name of what it counts."""


def worker(*, single_instance: bool) -> WorkerFigures:
    """A worker of an instance with or without the lease."""
    return WorkerFigures(0, 0, 0, 0.0, 0, 0.0, instance="relay-1", worker="2", single_instance=single_instance)


@pytest.fixture
async def relay() -> Relay:
    """One that was not started: only the test counts."""
    return Relay(replace(config(), cache_url=UNREACHABLE_URL, cache_layers="l1+l2"))


def counters(relay: Relay) -> Iterator[Counter]:
    """What barrier, client of the shared cache, single flight, bus, follower and tasks count: public and settable."""
    assert relay.answers is not None
    assert relay.shared is not None
    for part in (
        relay.barrier,
        relay.answers.flights,
        relay.profiles.flights,
    ):
        yield from ((part, name) for name, value in vars(part).items() if type(value) is int and name[0] != "_")
    yield from ((relay.bus, "other_store"), (relay.follower, "cache_faults"), (relay.tasks, "failures"))
    yield from ((relay.shared.counters, each.name) for each in fields(Counters))


def parts_of(figures: WorkerFigures) -> dict[str, int]:
    """The counts of these parts alone."""
    return {name: number for name, number in figures.counts.items() if name.startswith(PARTS)}


async def test_every_counter_is_gathered_once(relay: Relay) -> None:
    found = list(counters(relay))
    for bit, (part, name) in enumerate(found):
        setattr(part, name, 1 << bit)

    gathered = sum(parts_of(measure(relay)).values())
    missing = {f"{type(part).__name__}.{name}" for bit, (part, name) in enumerate(found) if not gathered >> bit & 1}

    assert len(found) >= 12
    assert missing == set()
    assert gathered == (1 << len(found)) - 1, "one was gathered twice"


async def test_what_the_transport_and_the_read_side_count_is_gathered(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (
        "bytes_in",
        "bytes_out",
        "handshakes_refused",
        "handshakes_timed_out",
        "protocol_errors",
        "yields",
        "aborted_slow_readers",
        "aborted_ping_timeout",
        "aborted_close_deadline",
        "aborted_unfinished",
        "aborted_unread",
    )
    for place, name in enumerate(names):
        monkeypatch.setattr(transport, name, 1_000 + place)
    relay.reads.queries = 7
    counts = measure(relay).counts

    assert {name: counts[name] for name in names} == {name: 1_000 + place for place, name in enumerate(names)}
    assert counts["read_queries"] == 7


async def test_the_figures_of_a_worker_show_the_lease_of_its_instance(relay: Relay) -> None:
    assert measure(relay).single_instance is False

    relay.barrier.lease.saw(0.0, Look(1, has_lease=True, log_key=1))

    assert measure(relay).single_instance is True


async def test_every_count_moves_a_metric(relay: Relay) -> None:
    def exposed(**counts: int) -> list[tuple[str, tuple[str, ...], float]]:
        worker = WorkerFigures(0, 0, 0, 0.0, 0, 0.0, counts=counts)
        return [sample for metric in METRICS for sample in metric.samples(worker)]

    nothing = exposed()
    unseen = {name for name in measure(relay).counts if exposed(**{name: 7}) == nothing}

    assert unseen == SHOWN_OTHERWISE


async def test_every_count_of_these_parts_has_a_line_in_the_admin(relay: Relay) -> None:
    shown = [name for *_, labels in TABLES for name, *_ in labels]

    assert sorted(shown) == sorted(parts_of(measure(relay)))


def test_the_admin_shows_the_sums_of_all_workers() -> None:
    worker = WorkerFigures(0, 0, 0, 0.0, 0, 0.0, counts={"barrier_held": 6_000, "bus_foreign": 7})
    tables = count_tables(total([worker, worker, NOTHING]))
    lines = {label: value for table in tables for label, _, value in table.lines}

    assert lines["OKs delayed: lease revoked"] == "12,000"
    assert lines["Foreign messages"] == "14"
    assert lines["Commands sent"] == "0"


@pytest.mark.parametrize(
    "workers, sentences",
    [
        ([], []),
        (
            [worker(single_instance=True), worker(single_instance=True)],
            ["relay-1 holds the single-instance lease: its workers read positions from shared memory."],
        ),
        (
            [worker(single_instance=False)],
            ["No instance holds the single-instance lease: workers read positions from the primary."],
        ),
    ],
)
def test_the_admin_shows_which_instance_holds_the_lease(workers: list[WorkerFigures], sentences: list[str]) -> None:
    assert coordination(snapshot(workers)) == sentences
    assert coordination(EMPTY) == []


async def test_an_unavailable_shared_cache_is_shown_and_a_missing_one_is_not(relay: Relay) -> None:
    without = Relay(replace(config(), cache_url="", cache_layers="none"))

    assert measure(relay).shared_up is False
    assert measure(without).shared_up is True
    assert set(parts_of(measure(without)).values()) == {0}

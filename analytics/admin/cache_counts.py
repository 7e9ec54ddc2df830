"""Tables of what the workers count around the caches: barrier, client of the shared cache, single flight.

Rule: pure, and complete: each count of these parts (relay.services.measure) has one line here, which a test compares.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analytics.dashboard.number_format import count
from relay.services.figures import ClusterSnapshot
from relay.services.worker_figures import WorkerFigures


@dataclass(frozen=True, slots=True)
class CountTable:
    """`name`: an HTML id; `lines`: label, help text and formatted count."""

    name: str
    title: str
    help: str
    lines: Sequence[tuple[str, str, str]]


Labels = Sequence[tuple[str, str, str]]
"""Name of a count in `WorkerFigures.counts`, its label and help text."""

BARRIER: Labels = (
    ("barrier_from_board", "Position reads: shared memory", "The instance is the only one: no request was needed."),
    ("barrier_fetches", "Position reads: shared cache", "One request for all answers that wait."),
    ("barrier_asked_primary", "Position reads: database", "Ten a second while clients read; more in doubt."),
    ("barrier_repairs", "Counter rebuilt", "The position in the shared cache was missing or wrong."),
    ("barrier_held", "OKs delayed: cache unreachable", "Batches whose position could not be written to the cache."),
    ("barrier_given_up", "OKs failed: cache unreachable", "Of these, batches answered with an error after 10 s."),
    (
        "barrier_held_for_claim",
        "OKs delayed: lease revoked",
        "Batches that waited until the holder had noticed.",
    ),
    ("barrier_claims_ended", "Leases revoked", "Single-instance leases of other instances that a reader ended."),
)
SHARED: Labels = (
    ("shared_commands", "Commands sent", ""),
    ("shared_failures", "Commands failed", ""),
    ("shared_dropped", "Commands rejected: queue full", "Included in the failed ones."),
    ("shared_timeouts", "Connections timed out", "A command took longer than 50 ms."),
    ("shared_reconnects", "Reconnects", ""),
)
FLIGHTS: Labels = (
    ("flights_fetched", "Fetches", "Each for all concurrent requests of the worker."),
    ("flights_joined", "Requests that shared a fetch", ""),
    ("across_led", "Costly fetches: led", "For all instances."),
    ("across_waited", "Costly fetches: waited", "For the result of another instance."),
    ("across_alone", "Costly fetches: unlocked", "The lock between instances was not available."),
)
TABLES = (
    ("barrier", "Barrier", "Which log position a cached answer must have reached before it is sent.", BARRIER),
    ("shared", "Shared cache client", "Connections of the workers to L2.", SHARED),
    ("flights", "Single flight", "Concurrent requests for the same data share one fetch.", FLIGHTS),
)


def count_tables(total: WorkerFigures) -> list[CountTable]:
    """The tables, with the totals of all workers."""
    return [CountTable(name, title, text, _lines(labels, total)) for name, title, text, labels in TABLES]


def coordination(snapshot: ClusterSnapshot) -> list[str]:
    """Sentences about lease and degraded workers; none without workers."""
    return list(_coordination(snapshot)) if snapshot.workers else []


def _coordination(snapshot: ClusterSnapshot) -> Iterator[str]:
    holders = sorted({worker.instance for worker in snapshot.workers if worker.alone})
    for instance in holders:
        yield f"{instance} holds the single-instance lease: its workers coordinate through shared memory."
    if not holders:
        yield "No instance holds the single-instance lease: instances coordinate through shared cache or database."
    for worker in snapshot.workers:
        if worker.apart:
            yield (
                f"Worker {worker.worker} of {worker.instance} cannot write to the shared cache: "
                "all workers read positions from the database."
            )


def _lines(labels: Labels, total: WorkerFigures) -> list[tuple[str, str, str]]:
    return [(label, text, count(total.counts.get(name, 0))) for name, label, text in labels]

"""Tables of what the workers count around the caches: barrier, client of the shared cache, single flight, faults.

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
    ("barrier_from_memory", "Position reads: shared memory", "The instance holds the lease: no request was needed."),
    ("barrier_looks", "Position reads: primary", "One statement for all answers that wait."),
    ("barrier_held", "OKs delayed: lease revoked", "Batches that waited until another instance's lease had ended."),
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
)
FAULTS: Labels = (
    ("bus_foreign", "Foreign messages", "Of another epoch or generation on the bus; dropped."),
    ("cache_faults", "Cache faults", "Exceptions that emptied the caches of a worker: see its log."),
    ("task_failures", "Task failures", "Background tasks that failed; the worker then restarts: see its log."),
)
TABLES = (
    ("barrier", "Barrier", "Which log position a cached answer must have reached before it is sent.", BARRIER),
    ("shared", "Shared cache client", "Connections of the workers to L2.", SHARED),
    ("flights", "Single flight", "Concurrent requests for the same data share one fetch.", FLIGHTS),
    ("faults", "Faults", "Normally zero.", FAULTS),
)


def count_tables(total: WorkerFigures) -> list[CountTable]:
    """The tables, with the totals of all workers."""
    return [CountTable(name, title, text, _lines(labels, total)) for name, title, text, labels in TABLES]


def coordination(snapshot: ClusterSnapshot) -> list[str]:
    """Sentences about the lease; none without workers."""
    return list(_coordination(snapshot)) if snapshot.workers else []


def _coordination(snapshot: ClusterSnapshot) -> Iterator[str]:
    holders = sorted({worker.instance for worker in snapshot.workers if worker.single_instance})
    for instance in holders:
        yield f"{instance} holds the single-instance lease: its workers read positions from shared memory."
    if not holders:
        yield "No instance holds the single-instance lease: workers read positions from the primary."


def _lines(labels: Labels, total: WorkerFigures) -> list[tuple[str, str, str]]:
    return [(label, text, count(total.counts.get(name, 0))) for name, label, text in labels]

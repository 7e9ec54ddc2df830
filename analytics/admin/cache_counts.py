"""What the workers count around the caches, in plain words: the barrier, the client of the shared cache, single flight.

Rule: pure, and complete: each count of these parts (relay.services.measure) has one line here, which a test compares.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from analytics.dashboard.wording import count
from relay.services.worker_figures import WorkerFigures


@dataclass(frozen=True, slots=True)
class Told:
    """A table: `name` as an id, what the part is for, and of each line the words and the count as texts."""

    name: str
    title: str
    meaning: str
    lines: Sequence[tuple[str, str]]


Words = Sequence[tuple[str, str]]
"""The name of a count in `WorkerFigures.counts`, and what it counts."""

BARRIER: Words = (
    ("barrier_fetches", "Asked the shared cache for the newest number"),
    ("barrier_asked_primary", "Asked the database for it: ten times a second while somebody reads, and when in doubt"),
    ("barrier_repairs", "Made the number in the shared cache anew, because it was gone or wrong"),
    ("barrier_held", "OKs held back because the shared cache could not be told"),
)
SHARED: Words = (
    ("shared_commands", "Commands sent"),
    ("shared_failures", "Commands that got no answer"),
    ("shared_dropped", "Of them refused here, because too many waited"),
    ("shared_timeouts", "Connections given up because a command took longer than 50 ms"),
    ("shared_reconnects", "Connections made again"),
)
FLIGHTS: Words = (
    ("flights_fetched", "Fetched, for all in the worker who asked meanwhile"),
    ("flights_joined", "Joined a fetch of the same worker"),
    ("across_led", "Costly: fetched for all instances"),
    ("across_waited", "Costly: waited for what another instance fetched"),
    ("across_alone", "Costly: fetched alone, because the others could not be asked to wait"),
)
TABLES = (
    ("barrier", "Barrier", "It says what a copy must have applied before it may answer.", BARRIER),
    ("shared", "Shared cache client", "The way of the workers to L2.", SHARED),
    ("flights", "Single flight", "Who asks for the same at once shares one fetch.", FLIGHTS),
)


def told(total: WorkerFigures) -> list[Told]:
    """The tables with the sums of all workers."""
    return [Told(name, title, meaning, _lines(words, total)) for name, title, meaning, words in TABLES]


def _lines(words: Words, total: WorkerFigures) -> list[tuple[str, str]]:
    return [(text, count(total.counts.get(name, 0))) for name, text in words]

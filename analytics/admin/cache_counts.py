"""What the workers count around the caches, in plain words: the barrier, the client of the shared cache, single flight.

Rule: pure, and complete: each count of these parts (relay.services.measure) has one line here, which a test compares.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analytics.dashboard.number_format import count
from relay.services.figures import Board
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
    ("barrier_from_board", "Knew the newest number from the memory of its machine, and asked nobody"),
    ("barrier_fetches", "Asked the shared cache for the newest number"),
    ("barrier_asked_primary", "Asked the database for it: ten times a second while somebody reads, and when in doubt"),
    ("barrier_repairs", "Made the number in the shared cache anew, because it was gone or wrong"),
    ("barrier_held", "Batches whose OKs were held back because the shared cache could not be told"),
    ("barrier_given_up", "Of them those whose OKs became errors, because that took longer than 10 seconds"),
    ("barrier_held_for_claim", "Batches whose OKs waited until an instance knew that it is not alone any more"),
    ("barrier_claims_ended", "Set out to end another instance's claim to have the store for itself"),
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


def standing(board: Board) -> list[str]:
    """How workers and instances stand to each other now, in sentences; none of nobody."""
    return list(_standing(board)) if board.workers else []


def _standing(board: Board) -> Iterator[str]:
    alone = sorted({worker.instance for worker in board.workers if worker.alone})
    for instance in alone:
        yield f"{instance} has the store for itself: its workers tell each other through memory, and ask nobody else."
    if not alone:
        yield (
            "No instance has the store for itself: several are at work, or were half a minute ago. "
            "They tell each other through the shared cache, or else through the database."
        )
    for worker in board.workers:
        if worker.apart:
            yield (
                f"Worker {worker.worker} of {worker.instance} cannot tell the shared cache what it stored: "
                "until it can, all ask the database."
            )


def _lines(words: Words, total: WorkerFigures) -> list[tuple[str, str]]:
    return [(text, count(total.counts.get(name, 0))) for name, text in words]

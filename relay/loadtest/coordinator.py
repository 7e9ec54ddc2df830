"""The command's process: starts the workers, gives them the start together, collects what they counted.

Rule: every wait has a limit. A worker that is silent too long, or has ended, is reported, not waited for.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from time import monotonic
from types import FrameType

from relay.loadtest.board import Board
from relay.loadtest.member import Member
from relay.loadtest.plan import GRACE_SECONDS, Plan
from relay.loadtest.tally import Tally

PREPARE_SECONDS = 900.0  # signing 200,000 events on one slow core, connecting 20,000 times, publishing for queries
LATE_SECONDS = 3_600.0  # that a run may take beyond its duration
STOP_SECONDS = 10.0  # from the stop to the last tally


@dataclass
class Outcome:
    """What came of a run. `missing`: workers that did not report."""

    tallies: list[Tally] = field(default_factory=list)
    missing: int = 0
    interrupted: bool = False


@dataclass
class Status:
    """How far the run is: a phase before the start, counts after it."""

    what: str = "starting"
    done: int = 0
    total: int = 0
    running: bool = False
    second: float = 0.0
    sent: int = 0
    accepted: int = 0
    answered: int = 0
    delivered: int = 0


def run_load(
    plan: Plan, show: Callable[[Status], None], collect: Callable[[list[Member]], None] = lambda _members: None
) -> Outcome:
    """Run the plan. `show` and `collect` are called a few times a second. SIGINT and SIGTERM end the run early and keep
    its counts.
    """
    board, outcome = Board(plan), Outcome()
    with _stop_signals() as signals:
        resource_tracker.ensure_running()  # it would lift the mask when the first worker starts it
        with _without_interrupts():  # the mask goes to the workers: a Ctrl-C reaches this process alone
            members = [Member(plan, index, board) for index in range(plan.processes)]
        try:
            _watch(plan, members, signals, show, collect)
        finally:
            for member in members:
                member.end()
    outcome.tallies = [member.tally for member in members if member.tally is not None]
    outcome.missing = len(members) - len(outcome.tallies)
    outcome.interrupted = bool(signals)
    return outcome


def _watch(
    plan: Plan,
    members: list[Member],
    signals: list[int],
    show: Callable[[Status], None],
    collect: Callable[[list[Member]], None],
) -> None:
    limit = monotonic() + PREPARE_SECONDS
    started: float | None = None
    stopping = False
    while not all(member.settled for member in members) and monotonic() < limit:
        for pipe in wait([member.pipe for member in members if not member.settled], 0.2):
            next(member for member in members if member.pipe is pipe).take()
        if (signals or any(member.gone for member in members)) and not stopping:
            stopping = True
            limit = min(limit, monotonic() + STOP_SECONDS)
            _tell(members, "stop")
        if started is None and all(member.ready for member in members):
            started = monotonic()
            if not stopping:
                limit = started + plan.duration + min(plan.duration, LATE_SECONDS) + 6 * GRACE_SECONDS
            _tell(members, "go")
        show(_status(members, started))
        collect(members)


def _tell(members: list[Member], order: str) -> None:
    for member in members:
        if not member.settled:
            member.tell(order)


def _status(members: list[Member], started: float | None) -> Status:
    if started is None:
        slowest = min(members, key=lambda member: (member.ready is True, member.phase[1]))
        what, done, total = slowest.phase
        return Status(what, done, total)
    sent, accepted, answered, delivered = (sum(column) for column in zip(*(m.counts for m in members), strict=True))
    return Status("running", 0, 0, True, monotonic() - started, sent, accepted, answered, delivered)


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """The signals that asked for an end, so far. The third one ends the program at once."""
    caught: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        if len(caught) > 2:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def probe(url: str, tries: int = 3) -> str | None:
    """Open and close one connection; the reason when all tries failed."""
    import asyncio

    from relay.loadtest.link import NO_HANDSHAKE, open_link

    async def try_once(tally: Tally) -> bool:
        link = await open_link(url, tally)
        if link is not None:
            link.close()
        return link is not None

    tally = Tally()
    for _ in range(tries):
        if asyncio.run(try_once(tally)):
            return None
        if NO_HANDSHAKE in tally.failures.counts:  # a second wait would be as long
            break
    return ", ".join(tally.failures.counts)

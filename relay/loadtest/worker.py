"""A worker process: its own event loop (uvloop), one share of the plan, a pipe to the coordinator.

Rule: it ends by itself: at the end of its work, at `stop`, and when the coordinator is gone. It never prints.

Pipe: sends ("doing", what, done, total), ("ready", opened), ("count", sent, accepted, answered, delivered),
("part", number, Part) for each line of the log, ("done", Tally); receives "go" and "stop".
"""

import asyncio
import contextlib
import itertools
import logging
import resource
import signal
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from time import perf_counter

import uvloop

from relay.loadtest.board import Board
from relay.loadtest.load import Load
from relay.loadtest.plan import Plan, Scenario
from relay.loadtest.scenarios import SCENARIOS, publish_for_queries
from relay.loadtest.tally import Part, Tally

REPORT_SECONDS = 0.25
SETTLE_EVERY_SECONDS = 0.5

Start = Callable[[Load], Awaitable[None]]
Count = Callable[[Tally], None]
HandOver = Callable[[int, Part], None]


def main(plan: Plan, index: int, board: Board, pipe: "Connection[object, object]") -> None:
    """The target of the process. A Ctrl-C is the coordinator's: it says `stop`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("asyncio").addHandler(logging.NullHandler())  # what is written to a lost connection is counted
    _allow_many_files()
    with contextlib.suppress(BrokenPipeError, ConnectionError):  # the coordinator is gone: the result is not wanted
        uvloop.run(_Worker(plan, index, board, pipe).run())


def _allow_many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Worker:
    def __init__(self, plan: Plan, index: int, board: Board, pipe: "Connection[object, object]") -> None:
        self._plan, self._index, self._board, self._pipe = plan, index, board, pipe
        self._said = 0.0

    async def run(self) -> None:
        self._stop, self._go = asyncio.Event(), asyncio.Event()
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._on_message)
        load = Load(self._plan, self._plan.share(self._index), self._board, self._stop, self._say)
        await play(load, self._wait_for_start, self._count, self._hand_over)
        self._pipe.send(("done", load.tally))

    def _on_message(self) -> None:
        try:
            message = self._pipe.recv() if self._pipe.poll() else None
        except (EOFError, OSError):
            message = "stop"
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        if message in ("go", "stop"):
            self._go.set()
        if message == "stop":
            self._stop.set()

    def _say(self, what: str, done: int, total: int) -> None:
        now = perf_counter()
        if now - self._said >= REPORT_SECONDS:
            self._said = now
            self._pipe.send(("doing", what, done, total))

    async def _wait_for_start(self, load: Load) -> None:
        self._pipe.send(("ready", load.tally.opened))
        await self._go.wait()

    def _hand_over(self, number: int, part: Part) -> None:
        self._pipe.send(("part", number, part))

    def _count(self, tally: Tally) -> None:
        self._pipe.send(("count", tally.sent, tally.accepted, tally.answered, tally.delivered))


async def play(
    load: Load, wait_for_start: Start, count: Count, hand_over: HandOver = lambda _number, _part: None
) -> None:
    """A whole run of one worker. `wait_for_start` returns when all are ready; `count` is called now and then, and
    `hand_over` with the number and the part of each line of the log.
    """
    await load.prepare()
    if load.plan.scenario is Scenario.QUERY and not load.plan.existing and not load.stop.is_set():
        await publish_for_queries(load)
    await wait_for_start(load)
    load.start()
    tasks = [asyncio.ensure_future(_note(load, count))]
    if load.plan.interval:
        tasks.append(asyncio.ensure_future(_give_parts(load, hand_over)))
    if load.plan.streams:
        tasks += [asyncio.ensure_future(_settle(load)), asyncio.ensure_future(load.reopen())]
    try:
        if not load.stop.is_set():
            await SCENARIOS[load.plan.scenario](load)
        await load.wind_down()
    finally:
        for task in tasks:
            task.cancel()
        load.note_moment()
        load.leave()


async def _note(load: Load, count: Count) -> None:
    said = 0.0
    while True:
        await asyncio.sleep(load.tally.width)
        load.note_moment()
        if load.elapsed - said >= REPORT_SECONDS:
            said = load.elapsed
            count(load.tally)


async def _settle(load: Load) -> None:
    while True:
        await asyncio.sleep(SETTLE_EVERY_SECONDS)
        load.follower.settle()


async def _give_parts(load: Load, hand_over: HandOver) -> None:
    """At the end of each interval of the clock that all workers share."""
    load.part()  # from here on it is kept what is recent
    for number in itertools.count(1):
        await asyncio.sleep(max(0.0, number * load.plan.interval - load.elapsed))
        hand_over(number, load.part())

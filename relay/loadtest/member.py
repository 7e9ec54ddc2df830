"""A worker process as the coordinator sees it.

Rule: what a worker sends or fails to send never stops the coordinator: a broken pipe is a worker that is gone.
"""

import multiprocessing
from multiprocessing.context import SpawnProcess
from typing import Any

from relay.loadtest import worker
from relay.loadtest.board import Board
from relay.loadtest.plan import Plan
from relay.loadtest.tally import Part, Tally

_CONTEXT = multiprocessing.get_context("spawn")


class Member:
    """A worker process as the coordinator sees it."""

    def __init__(self, plan: Plan, index: int, board: Board) -> None:
        self.pipe, theirs = _CONTEXT.Pipe()
        self.process: SpawnProcess = _CONTEXT.Process(
            target=worker.main, args=(plan, index, board, theirs), daemon=True
        )
        self.process.start()
        theirs.close()
        self.phase: tuple[str, int, int] = ("starting", 0, 0)
        self.counts: tuple[int, ...] = (0, 0, 0, 0)
        self.ready = False
        self.gone = False
        self.tally: Tally | None = None
        self.parts: dict[int, Part] = {}
        """Of lines of the log that are not written yet, by number."""

    @property
    def settled(self) -> bool:
        """Whether nothing more is to come from it."""
        return self.gone or self.tally is not None

    def take(self) -> None:
        """One message from its pipe."""
        try:
            message: Any = self.pipe.recv()
        except (EOFError, OSError):
            self.gone = True
            return
        match message:
            case ("doing", str(what), int(done), int(total)):
                self.phase = what, done, total
            case ("ready", int()):
                self.ready = True
            case ("count", *counts):
                self.counts = tuple(counts)
            case ("part", int(number), Part() as part):
                self.parts[number] = part
            case ("done", Tally() as tally):
                self.tally = tally

    def tell(self, order: str) -> None:
        """Give it an order, `go` or `stop`."""
        try:
            self.pipe.send(order)
        except OSError:
            self.gone = True

    def end(self) -> None:
        """Wait for its end, two seconds at most, then kill it."""
        self.process.join(0.0 if self.gone else 2.0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(5.0)
        self.pipe.close()

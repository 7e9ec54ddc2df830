"""What the workers of one run share: when each event was sent, whether it was accepted, who has finished publishing.

Rule: an event's number is its place here, so a subscriber in one process can time an event that another sent.
"""

from collections.abc import MutableSequence
from multiprocessing.sharedctypes import RawArray
from typing import cast

from relay.loadtest.plan import Plan


class Board:
    """Shared memory; it goes to a worker as an argument of its process. Every cell has one writer."""

    def __init__(self, plan: Plan) -> None:
        self.sent_at = cast(MutableSequence[float], RawArray("d", plan.events))
        """By number: time.perf_counter of the sending, 0 before it."""
        self._accepted = RawArray("B", plan.events)
        self._finished = RawArray("B", plan.processes)

    def accept(self, number: int) -> None:
        """The event of this number has its OK true."""
        self._accepted[number] = 1

    def accepted(self) -> int:
        """A byte for each event, 1 where it was accepted, as one integer; compare with `int.from_bytes(seen)`."""
        return int.from_bytes(bytes(self._accepted), "big")

    def finish(self, worker: int) -> None:
        """This worker sends no more events, and waits for no answer."""
        self._finished[worker] = 1

    def all_finished(self) -> bool:
        """Whether no worker sends events any more."""
        return all(self._finished)

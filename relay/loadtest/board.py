"""What the workers of one run share: when each event was sent, whether it was accepted, who has finished publishing.

Rule: an event's number, modulo `Plan.slots`, is its place here, so a subscriber in one process can time an event that
another sent. In a run that streams a place is cleared half a round before it is used again.
"""

from collections.abc import MutableSequence
from multiprocessing.sharedctypes import RawArray
from typing import cast

from relay.loadtest.plan import Plan


class Board:
    """Shared memory; it goes to a worker as an argument of its process. Every cell has one writer."""

    def __init__(self, plan: Plan) -> None:
        self.slots = plan.slots
        self.sent_at = cast(MutableSequence[float], RawArray("d", plan.slots))
        """By place: time.perf_counter of the sending, 0 before it."""
        self._numbers = cast(MutableSequence[int], RawArray("q", plan.slots if plan.streams else 0))
        self._accepted = RawArray("B", plan.slots)
        self._finished = RawArray("B", plan.processes)
        self._half = plan.slots // 2 if plan.streams else 0

    def send(self, number: int, now: float) -> None:
        """The event of this number is being sent."""
        slot = number % self.slots
        self.sent_at[slot] = now
        if self._half:
            self._numbers[slot] = number + 1
            self._accepted[(number + self._half) % self.slots] = 0

    def accept(self, number: int) -> None:
        """The event of this number has its OK true."""
        self._accepted[number % self.slots] = 1

    def is_accepted(self, number: int) -> bool:
        """Whether it has."""
        return bool(self._accepted[number % self.slots])

    def was_sent_before(self, number: int, time: float) -> bool:
        """Whether the event of this number was sent before `time`; in a run that streams."""
        slot = number % self.slots
        return self._numbers[slot] == number + 1 and self.sent_at[slot] < time

    def accepted(self) -> int:
        """A byte for each event, 1 where it was accepted, as one integer; compare with `int.from_bytes(seen)`."""
        return int.from_bytes(bytes(self._accepted), "big")

    def finish(self, worker: int) -> None:
        """This worker sends no more events, and waits for no answer."""
        self._finished[worker] = 1

    def all_finished(self) -> bool:
        """Whether no worker sends events any more."""
        return all(self._finished)

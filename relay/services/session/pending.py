"""The unanswered events of one connection: a bound on them, and callbacks that wait for their answers.

Events are numbered on arrival and may be answered in any order. Rule: a callback is called once every event before it
is answered, in the order of registration; that takes one number for each callback, however many events are pending.
"""

from collections.abc import Callable

from relay.services.session.reading import Readable

Then = Callable[[], None]


class Pending:
    """Pauses the reading of `wire` at `limit` unanswered events, until half of them are answered."""

    __slots__ = ("_all_before", "_answered", "_limit", "_paused", "_waiting", "_wire", "next")

    def __init__(self, wire: Readable, limit: int) -> None:
        self._wire = wire
        self._limit = limit
        self._paused = False
        self.next = 0
        """The number of the next event."""
        self._all_before = 0
        """Every event with a lower number is answered."""
        self._answered: set[int] = set()
        """Answered events from `_all_before` on."""
        self._waiting: dict[Then, int] = {}

    def __len__(self) -> int:
        return self.next - self._all_before - len(self._answered)

    def add(self) -> int:
        """Register an event that is answered later; returns its number, for `answered`."""
        number = self.next
        self.next += 1
        if not self._paused and len(self) >= self._limit:
            self._paused = True
            self._wire.pause_reading()
        return number

    def answered(self, number: int) -> None:
        """Mark an event as answered; to be called once for each."""
        answered = self._answered
        answered.add(number)
        while self._all_before in answered:
            answered.remove(self._all_before)
            self._all_before += 1
        if self._paused and len(self) * 2 <= self._limit:
            self._paused = False
            self._wire.resume_reading()
        while self._waiting:
            then, end = next(iter(self._waiting.items()))
            if end > self._all_before:
                break
            del self._waiting[then]
            then()

    def when_answered(self, then: Then) -> bool:
        """Call `then`, which must not raise, when all events so far are answered; True if that was at once."""
        if self._all_before == self.next:
            then()
            return True
        self._waiting[then] = self.next
        return False

    def forget(self, then: Then) -> None:
        """Do not call `then` any more; no error if it does not wait."""
        self._waiting.pop(then, None)

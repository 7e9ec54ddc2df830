"""The events of one connection that are not answered yet: what comes behind them, and how many there may be.

Events are numbered as they come and may be answered in any order. Rule: who waits is told once every event before it
has been answered, and in the order of asking; that takes one number for each, whatever is pending.
"""

from collections.abc import Callable

from relay.subscriptions.outbox import Wire

Then = Callable[[], None]


class Pending:
    """Pauses the reading of `wire` at `limit` unanswered events, until half of them are answered."""

    __slots__ = ("_all_before", "_answered", "_limit", "_paused", "_waiting", "_wire", "next")

    def __init__(self, wire: Wire, limit: int) -> None:
        self._wire = wire
        self._limit = limit
        self._paused = False
        self.next = 0
        """The number of the event that comes next."""
        self._all_before = 0
        """Every event with a lower number has been answered."""
        self._answered: set[int] = set()
        """Answered events from `_all_before` on."""
        self._waiting: dict[Then, int] = {}

    def __len__(self) -> int:
        return self.next - self._all_before - len(self._answered)

    def add(self) -> int:
        """An event has come that is answered later; returns its number, for `answered`."""
        number = self.next
        self.next += 1
        if not self._paused and len(self) >= self._limit:
            self._paused = True
            self._wire.pause_reading()
        return number

    def answered(self, number: int) -> None:
        """The event has its answer; to be called once for each."""
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
        """Call `then` no more; no error when it does not wait."""
        self._waiting.pop(then, None)

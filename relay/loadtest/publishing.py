"""Events on their way to the relay, and its OKs.

Rule: an event counts as accepted when its own OK true has arrived; latency runs from the write to the OK.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from time import perf_counter

from relay.loadtest.board import Board
from relay.loadtest.link import Link
from relay.loadtest.pool import SignedEvent
from relay.loadtest.tally import Tally


class Publisher:
    """Sends the pool, each event once. `refilling`: every answer is followed by the next event on its connection."""

    def __init__(self, tally: Tally, board: Board, first: int, step: int = 1) -> None:
        self.refilling = False
        self.pending = 0
        self._tally = tally
        self._board = board
        self._pool: Iterator[SignedEvent] = iter(())
        self._number = first
        self._step = step

    def load(self, pool: Iterable[SignedEvent]) -> None:
        """The events to send; the first one has the number `first` in the run."""
        self._pool = iter(pool)

    def send(self, link: Link) -> bool:
        """Send the next event; False when there is none left or the connection is closed."""
        if not link.open or (event := next(self._pool, None)) is None:
            return False
        number = self._number
        self._number += self._step
        self._tally.sent += 1
        self.pending += 1
        now = perf_counter()
        self._board.send(number, now)
        link.publish(event.id, event.frame, partial(self._on_ok, link, number, now))
        return True

    def fill(self, links: Sequence[Link], window: int) -> None:
        """Put `window` events on their way on every connection, and keep it so."""
        self.refilling = True
        for _ in range(window):
            for link in links:
                self.send(link)

    def _on_ok(self, link: Link, number: int, sent_at: float, accepted: bool, text: object) -> None:
        now = perf_counter()
        tally = self._tally
        tally.ok.add(now - sent_at, now - tally.started)
        tally.last_ok = now
        self.pending -= 1
        if accepted:
            tally.accepted += 1
            self._board.accept(number)
        else:
            tally.refusals.add_answer(text)
        if self.refilling:
            self.send(link)

    def waits_on(self, links: Sequence[Link]) -> bool:
        """Whether an answer can still come: one is due on a connection that is open."""
        return self.pending > 0 and any(link.waiting and link.open for link in links)

    def finish(self) -> None:
        """No more waiting: what has no answer yet is unanswered."""
        self.refilling = False
        self._tally.unanswered += self.pending
        self.pending = 0

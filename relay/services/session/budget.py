"""A bound in bytes, for the whole process, on texts that are read from the store in pieces and held for clients.

Answers of ordinary size come with their first statement and are not counted. Rule: a piece larger than the bound is let
through alone, and those that wait are served in their order.
"""

import asyncio
from collections import deque
from contextlib import suppress

from relay.subscriptions.outbox import HIGH_WATER_BYTES

PIECE_BYTES = 1_048_576
"""A piece of the stored events has this size and one event at most; it is sent when less than this waits to leave."""


def piece_bytes(max_outbox_bytes: int) -> int:
    """The size of a piece for a connection with this bound of its outbox."""
    return max(HIGH_WATER_BYTES, min(PIECE_BYTES, max_outbox_bytes // 4))


class PieceBudget:
    """At most `max_bytes` are taken at a time. `waits` counts pieces that had to wait."""

    def __init__(self, max_bytes: int) -> None:
        self.held_bytes = 0
        self.waits = 0
        self._max_bytes = max_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> None:
        """Take `size` bytes, when it is this caller's turn and there are as many. The caller sets the time-out."""
        if not self._waiting and self._fits(size):
            self.held_bytes += size
            return
        self.waits += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(size)
            else:
                with suppress(ValueError):  # or `_serve` has just passed it over
                    self._waiting.remove((size, turn))
                self._serve()
            raise

    def give(self, size: int) -> None:
        """Give `size` bytes back."""
        self.held_bytes -= size
        self._serve()

    def _fits(self, size: int) -> bool:
        return not self.held_bytes or self.held_bytes + size <= self._max_bytes

    def _serve(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            if not turn.done():
                self.held_bytes += size
                turn.set_result(None)

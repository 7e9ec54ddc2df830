"""A bound in bytes, for the whole process, on texts that are read from the store in pieces and held for clients.

Answers of ordinary size come with their first statement and are not counted. Rule: a piece larger than the bound is let
through alone, those that wait are served in turns of their owners, and no owner keeps others waiting: one with 100
connections that read slowly held all there is for 30 s at a time.
"""

import asyncio
from collections import deque

from relay.storage.fair_queue import INTERNAL
from relay.subscriptions.outbox import HIGH_WATER_BYTES

PIECE_BYTES = 1_048_576
"""A piece of the stored events has this size and one event at most; it is sent when less than this waits to leave."""

OWNER_SHARE = 4
"""One owner may hold this part of all bytes, and one piece at least."""

Waiting = tuple[int, asyncio.Future[None]]


def piece_bytes(max_outbox_bytes: int) -> int:
    """The size of a piece for a connection with this bound of its outbox."""
    return max(HIGH_WATER_BYTES, min(PIECE_BYTES, max_outbox_bytes // 4))


class PieceBudget:
    """At most `max_bytes` are taken at a time, an OWNER_SHARE-th of them by one owner beside INTERNAL. `waits` counts
    pieces that had to wait.
    """

    def __init__(self, max_bytes: int) -> None:
        self.held_bytes = 0
        self.waits = 0
        self._max_bytes = max_bytes
        self._held: dict[str, int] = {}
        self._waiting: dict[str, deque[Waiting]] = {}
        """By owner, in the order of their turns."""

    async def take(self, size: int, owner: str = INTERNAL) -> None:
        """Take `size` bytes, when it is this owner's turn and there are as many. The caller sets the time-out."""
        if not self._waiting and self._fits(size) and self._has_share(owner, size):
            self._hold(size, owner)
            return
        self.waits += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append((size, turn))
        self._serve()  # those that wait may wait for the share of their owner
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(size, owner)
            else:
                self._forget(owner, (size, turn))
                self._serve()
            raise

    def give(self, size: int, owner: str = INTERNAL) -> None:
        """Give `size` bytes back."""
        self.held_bytes -= size
        left = self._held.get(owner, 0) - size
        if left:
            self._held[owner] = left
        else:
            self._held.pop(owner, None)
        self._serve()

    def _hold(self, size: int, owner: str) -> None:
        if size:
            self.held_bytes += size
            self._held[owner] = self._held.get(owner, 0) + size

    def _fits(self, size: int) -> bool:
        return not self.held_bytes or self.held_bytes + size <= self._max_bytes

    def _has_share(self, owner: str, size: int) -> bool:
        held = self._held.get(owner, 0)
        return not held or owner == INTERNAL or held + size <= self._max_bytes // OWNER_SHARE

    def _forget(self, owner: str, waiting: Waiting) -> None:
        mine = self._waiting.get(owner)
        if mine is not None and waiting in mine:  # or `_serve` has just passed it over
            mine.remove(waiting)
            if not mine:
                del self._waiting[owner]

    def _serve(self) -> None:
        while (owner := self._next()) is not None:
            mine = self._waiting.pop(owner)
            size, turn = mine.popleft()
            if mine:
                self._waiting[owner] = mine  # behind the others
            if not turn.done():
                self._hold(size, owner)
                turn.set_result(None)

    def _next(self) -> str | None:
        """Whose first piece is let through now. Few owners can have their share taken, so few are passed over."""
        for owner, mine in self._waiting.items():
            size, _ = mine[0]
            if self._has_share(owner, size):
                return owner if self._fits(size) else None
        return None

"""Who waits until this process has come to a position: answers from memory, when the barrier is ahead of it.

Rule: nobody waits longer than LATE_SECONDS, and each is told once.
"""

import asyncio
from collections.abc import Callable

from relay.changes.ring import Ring

LATE_SECONDS = 0.025
"""How long an answer from memory waits for a change that is known to exist, before PostgreSQL is asked."""


class Arrivals:
    """`on_late` is told the position that took too long."""

    def __init__(self, ring: Callable[[], Ring], on_late: Callable[[int], None]) -> None:
        self._ring = ring
        self._on_late = on_late
        self._late: list[_Waiting] = []

    def when(self, position: int, then: Callable[[bool], None]) -> None:
        """Call `then`, at once or when the ring has come to `position`: with True, or with False when it takes long."""
        if self._ring().position >= position:
            then(True)
            return
        waiting = _Waiting(position, then)
        self._late.append(waiting)
        asyncio.get_running_loop().call_later(LATE_SECONDS, self._give_up, waiting)

    async def has_come(self, position: int) -> bool:
        """True once the ring has come to `position`, False when it takes long."""
        if self._ring().position >= position:
            return True
        come: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.when(position, lambda yes: None if come.done() else come.set_result(yes))
        return await come

    def look(self) -> None:
        """The ring has come further: tell who waited for it."""
        if not self._late:
            return
        position = self._ring().position
        arrived = [waiting for waiting in self._late if waiting.position <= position]
        if arrived:
            self._late = [waiting for waiting in self._late if waiting.position > position]
            for waiting in arrived:
                waiting.tell(True)

    def _give_up(self, waiting: "_Waiting") -> None:
        if waiting.then is not None:
            self._late.remove(waiting)
            self._on_late(waiting.position)
            waiting.tell(False)


class _Waiting:
    __slots__ = ("position", "then")

    def __init__(self, position: int, then: Callable[[bool], None]) -> None:
        self.position = position
        self.then: Callable[[bool], None] | None = then

    def tell(self, come: bool) -> None:
        then, self.then = self.then, None
        if then is not None:
            then(come)

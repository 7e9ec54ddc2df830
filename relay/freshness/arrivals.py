"""Callbacks that wait until this process has applied a position: answers from memory while the barrier is ahead of it.

Rule: none waits longer than LATE_SECONDS, each is called once, and one that raises does not affect the others.
"""

import asyncio
import logging
from collections.abc import Callable

from relay.changes.ring import Ring

log = logging.getLogger("relay.barrier")

LATE_SECONDS = 0.025
"""How long an answer from memory waits for a known change before PostgreSQL is queried."""

Then = Callable[[bool], None]


class Arrivals:
    """Callbacks waiting for the ring to reach a position."""

    def __init__(self, ring: Callable[[], Ring]) -> None:
        self._ring = ring
        self._waiting: dict[_Waiting, None] = {}

    def when(self, position: int, then: Then) -> None:
        """Call `then` with True once the ring has reached `position`, perhaps at once; with False after
        LATE_SECONDS.
        """
        if self._ring().position >= position:
            then(True)
            return
        waiting = _Waiting(position, then)
        self._waiting[waiting] = None
        waiting.timer = asyncio.get_running_loop().call_later(LATE_SECONDS, self._give_up, waiting)

    async def reached(self, position: int) -> bool:
        """True once the ring has reached `position`, False after LATE_SECONDS."""
        if self._ring().position >= position:
            return True
        reached: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.when(position, lambda yes: None if reached.done() else reached.set_result(yes))
        return await reached

    def look(self) -> None:
        """The ring has advanced: call those whose position it has reached."""
        if not self._waiting:
            return
        position = self._ring().position
        for waiting in [waiting for waiting in self._waiting if waiting.position <= position]:
            self._call(waiting, True)

    def _give_up(self, waiting: "_Waiting") -> None:
        self._call(waiting, False)

    def _call(self, waiting: "_Waiting", reached: bool) -> None:
        if self._waiting.pop(waiting, waiting) is waiting:
            return  # called already, by a callback before it
        if waiting.timer is not None:
            waiting.timer.cancel()
        try:
            waiting.then(reached)
        except Exception:
            log.exception("a query could not be answered")


class _Waiting:
    __slots__ = ("position", "then", "timer")

    def __init__(self, position: int, then: Then) -> None:
        self.position = position
        self.then = then
        self.timer: asyncio.TimerHandle | None = None

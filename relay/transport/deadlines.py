"""Many timeouts of equal length with one timer: pings, closing handshakes, requests.

A timer or a task for each connection costs 1.8 KB and a wakeup. All timeouts of one `Deadlines` are equally long, so
they expire in the order in which they were added.
"""

import asyncio
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)

_SLICE_SECONDS = 0.005  # of the loop's time at once: thousands may expire together


class Deadlines(Generic[Item]):
    """Calls `due(item)` once, `seconds` after `item` was added (late by at most a twentieth, or 0.5 s)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, due: Callable[[Item], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._grain = min(0.5, seconds / 20)
        self._due = due
        self._waiting: dict[Item, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __contains__(self, item: Item) -> bool:
        return item in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    def first(self) -> Item | None:
        """The item that is due next, None without any."""
        return next(iter(self._waiting), None)

    def add(self, item: Item) -> None:
        """Start the timeout of `item`, or start it again."""
        self._waiting.pop(item, None)
        self._waiting[item] = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._run)

    def discard(self, item: Item) -> None:
        """Cancel the timeout of `item`, if there is one."""
        self._waiting.pop(item, None)

    def _run(self) -> None:
        now = self._loop.time()
        overdue = []
        for item, at in self._waiting.items():
            if at > now:
                break
            overdue.append(item)
        stop = monotonic() + _SLICE_SECONDS
        for item in overdue:
            if self._waiting.pop(item, None) is not None:  # an earlier one may have ended it
                self._due(item)
            if monotonic() > stop:
                break
        self._arm()

    def _arm(self) -> None:
        first = next(iter(self._waiting.values()), None)
        if first is None:
            self._timer = None
            return
        wait = first - self._loop.time()
        self._timer = self._loop.call_later(0.001 if wait <= 0 else max(wait, self._grain), self._run)

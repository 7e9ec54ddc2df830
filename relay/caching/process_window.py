"""The window of a process: filled from PostgreSQL, then kept up to date from the ring.

Rule: it answers only at the ring's position; while it lags, other copies answer. Single changes are applied after 10
ms, so that queries do not pay for them; under load they are applied in the background, so that publishing does not.
"""

import asyncio
import logging
from collections.abc import Callable

from relay.background import BackgroundTasks, Task, cancel
from relay.caching.registry import CacheCounters, Layer, registry
from relay.changes.ring import Ring
from relay.changes.sizes import MAX_STEP, change_bytes, event_bytes, steps
from relay.changes.window import InWindow, Window
from relay.freshness.arrivals import Arrivals
from relay.protocol.errors import Failed
from relay.protocol.filters import Filter
from relay.storage.newest_events import NewestEvents, events_below
from relay.storage.reads import Reads

log = logging.getLogger("relay.window")

NAME = "window"
"""The name of this cache among those of the layer."""

MAX_AT_ONCE = MAX_STEP
"""Changes applied in one turn of the loop: a millisecond or two. Fewer if they are large (`sizes.steps`)."""

REST_SECONDS = 0.015
"""Pause between two such turns: 20,000 events are applied in three seconds with a tenth of the core."""

SOON_SECONDS = 0.01
SOON_CHANGES = 16
"""The most changes that the timer applies at once: three hundredths of the core at most."""

FILL_EVENTS = 200
FILL_PAUSE_SECONDS = 0.003
RETRY_SECONDS = 1.0
BEHIND_SECONDS = 0.1
"""Pause when a page read from PostgreSQL is ahead of what this process has applied."""


class ProcessWindow:
    """The window and its filling. With `max_bytes` 0 there is no window, and it answers nothing."""

    def __init__(
        self, reads: Reads, ring: Callable[[], Ring], arrivals: Arrivals, max_bytes: int, tasks: BackgroundTasks
    ) -> None:
        self.window = Window(max_bytes)
        self.counters = registry.register(
            CacheCounters(NAME, Layer.L1, size=self.window.__len__, bytes=lambda: self.window.bytes, clear=self.clear)
        )
        self._reads = reads
        self._ring = ring
        self._arrivals = arrivals
        self._exists = max_bytes > 0
        self._filling = False
        self._wanted = asyncio.Event()
        self._tasks = tasks
        self._task: Task | None = None
        self._soon: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to fill it; needs a running loop."""
        if self._exists:
            self._wanted.set()
            self._task = self._tasks.service(self._keep(), "window")

    async def stop(self) -> None:
        """Stop filling it."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        await cancel([self._task])
        self._task = None

    def clear(self) -> int:
        """Drop all events and fill it again; returns how many were dropped."""
        count = len(self.window)
        self.window.clear()
        if self._task is not None:  # it must not go on from its old floor
            self._task.cancel()
            self.start()
        return count

    def find(self, flt: Filter, now: int) -> InWindow | None:
        """The answer to `flt` at the ring's position and at `now` (Unix seconds), newest first; None if it is not
        known.
        """
        if not self._exists:
            return None
        found = self.window.find(flt, now) if self._is_current() else None
        if found is None:
            self.counters.misses += 1
        else:
            self.counters.hits += 1
        return found

    def look(self) -> None:
        """Take note that the ring has advanced."""
        if self._soon is None and self._task is not None:
            self._soon = asyncio.get_running_loop().call_later(SOON_SECONDS, self._apply_few)

    def _apply_few(self) -> None:
        self._soon = None
        if self._ring().position - self.window.position <= SOON_CHANGES:
            self._is_current()

    def _is_current(self) -> bool:
        """True if it is at the ring's position; a few changes are applied now, many in the background."""
        window, ring = self.window, self._ring()
        if window.position == ring.position:
            return True
        if self._filling or ring.position - window.position > MAX_AT_ONCE or window.position < ring.floor:
            self._wanted.set()
            return False
        changes = ring.since(window.position)
        if changes and len(next(steps(changes, change_bytes))) < len(changes):
            self._wanted.set()
            return False
        window.apply(changes, ring.position)
        self._count_evictions()
        return True

    def _count_evictions(self) -> None:
        if self.window.evicted:
            self.counters.evictions["bytes"] = self.window.evicted

    async def _keep(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._filling = True
            try:
                await self._catch_up()
                await self._fill()
            except Failed:
                await asyncio.sleep(RETRY_SECONDS)
                self._wanted.set()
            except Exception:
                log.exception("the window could not be filled; it is cleared and filled again")
                self.window.clear()
                await asyncio.sleep(RETRY_SECONDS)
                self._wanted.set()
            finally:
                self._filling = False
                self._count_evictions()

    async def _catch_up(self) -> None:
        """Apply the ring's changes in parts; start empty if the ring no longer holds some of them."""
        window = self.window
        while (ring := self._ring()).position != window.position:
            if window.position < ring.floor:
                window.clear()
                return
            changes = ring.since(window.position)
            for part in steps(changes, change_bytes):
                window.apply(part, part[-1].seq)
                await asyncio.sleep(REST_SECONDS)
                if self._ring() is not ring:
                    window.clear()
                    return

    async def _fill(self) -> None:
        """Extend it downwards from its floor."""
        window = self.window
        while not (window.complete or window.full):
            page = await events_below(self._reads, window.floor, FILL_EVENTS, self._ring().floor)
            if not await self._arrivals.reached(page.position):
                await asyncio.sleep(BEHIND_SECONDS)
                continue
            if not await self._extend(page, self._ring()):
                window.clear()

    async def _extend(self, page: NewestEvents, ring: Ring) -> bool:
        """Add a page in parts; False if the ring no longer holds the changes that follow it."""
        window = self.window
        parts = list(steps(page.events, event_bytes)) or [()]
        for number, part in enumerate(parts, 1):
            if self._ring() is not ring or page.position < ring.floor or -1 < window.position < ring.floor:
                return False
            begin = page.position if window.position < 0 else min(page.position, window.position)
            window.extend(part, page.complete and number == len(parts), ring.since(begin), ring.position)
            await asyncio.sleep(FILL_PAUSE_SECONDS)
            if window.full:
                break
        return True

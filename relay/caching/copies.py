"""The copies of one process: the window, pages, events and profiles, and what they answer together.

Rule: an answer is as of the ring's position, which nobody may be told before the barrier allows it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from relay.caching.arrivals import Arrivals
from relay.caching.events import Events
from relay.caching.newest_window import NewestWindow
from relay.caching.pages import Pages
from relay.caching.profiles import PROFILE_KIND, Profiles
from relay.caching.shared import Shared
from relay.changes.change import Batch, Change, Removed
from relay.changes.overlay import cut, newest_first
from relay.changes.ring import Ring
from relay.changes.row import Row
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter
from relay.protocol.visibility import NEVER_SERVED_KINDS, visible
from relay.storage.reads import Reads, merged

SWEEP_SECONDS = 5.0

Texts = Sequence[bytes]


class Copies:
    """`arrivals` is told whenever the ring has come further. Without `shared` there is no L2."""

    def __init__(
        self,
        reads: Reads,
        ring: Callable[[], Ring],
        arrivals: Arrivals,
        *,
        shared: Shared | None,
        epoch: Callable[[], int],
        window_bytes: int,
    ) -> None:
        self.newest = NewestWindow(reads, ring, arrivals, window_bytes)
        self.pages = Pages(ring, shared, epoch)
        self.events = Events(shared, epoch)
        self.profiles = Profiles(shared, epoch)
        self._ring = ring
        self._arrivals = arrivals
        self._sweeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to fill the window; needs a running loop."""
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep(), name="relay caches")
        self.newest.start()

    async def stop(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self.newest.stop()

    def clear(self) -> None:
        """Drop the copies of this process; the window is filled again."""
        self.pages.clear()
        self.events.clear()
        self.profiles.clear()
        self.newest.clear()

    def apply(self, changes: Sequence[Change]) -> None:
        """Take in changes that the ring has just taken in."""
        for change in changes:
            if type(change) is Removed:
                self.events.removed(change.event_id)
            elif change.event.kind == PROFILE_KIND:  # type: ignore[union-attr]
                self.profiles.apply(change)  # type: ignore[arg-type]
        self._arrivals.look()
        self.newest.look()

    def published(self, batch: Batch) -> None:
        """This process has committed the batch."""
        self.events.published(batch)
        self.profiles.published(batch)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            self.pages.sweep(now)
            self.events.sweep(now)
            self.profiles.sweep(now)

    def known(self, filters: Sequence[Filter]) -> Texts | None:
        """The answer to a REQ as of the ring's position, None if it is not wholly in memory."""
        ring = self._ring()
        if ring.position < ring.whole_from:
            return None
        now = int(time.time())
        if len(filters) == 1:
            return self._known(filters[0], now)
        found = []
        for flt in filters:
            texts = self._known(flt, now)
            if texts is None:
                return None
            found.append(texts)
        return merged(found)

    def _known(self, flt: Filter, now: int) -> Texts | None:
        events = self.newest.find(flt, now)
        if events is not None:
            return [event.json for event in events]
        return self.pages.find(flt, now) if flt.ids is None else self._known_ids(flt, now)

    def _known_ids(self, flt: Filter, now: int) -> Texts | None:
        ring = self._ring()
        rows: list[Row | StoredEvent] = []
        for event_id in flt.ids or ():
            event = ring.event(event_id)
            if event is None:
                event = self.newest.event(event_id)
            if event is not None:
                if visible(event, now) and flt.matches(event):
                    rows.append(event)
                continue
            copy = self.events.find(event_id, ring)
            if copy is None:
                self.events.l1.misses += 1
                return None
            row = copy.row
            if row is None or row.kind in NEVER_SERVED_KINDS or (row.expires_at is not None and row.expires_at <= now):
                continue
            if ids_alone(flt) or flt.matches(StoredEvent.from_json(row.json)):
                rows.append(row)
        self.events.l1.hits += 1
        rows.sort(key=newest_first)
        return [row.json for row in cut(rows, flt)]


def ids_alone(flt: Filter) -> bool:
    """True for a filter that asks for ids and nothing else, apart from a limit."""
    return flt.authors is None and flt.kinds is None and flt.since is None and flt.until is None and not flt.tags

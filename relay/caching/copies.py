"""The copies of one process: the window of the newest events and the pages, looked up together.

Rule: an answer is as of the ring's position, must not be sent before the barrier allows it, and holds no private event.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from relay.background import BackgroundTasks, Task, cancel
from relay.caching.page_cache import PROFILE_KINDS, PageCache, event_filter, profile_filter
from relay.caching.process_window import ProcessWindow
from relay.caching.shared import Shared
from relay.changes.change import Change, Removed
from relay.changes.overlay import cut, newest_first
from relay.changes.ring import Ring
from relay.changes.row import id_of
from relay.freshness.arrivals import Arrivals
from relay.protocol.audience import ANONYMOUS
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter
from relay.protocol.messages import End
from relay.protocol.visibility import visible
from relay.storage.read_result import merged_texts
from relay.storage.reads import Reads
from relay.storage.store import Store

SWEEP_SECONDS = 5.0


class Known(Struct, frozen=True, gc=False):
    """An answer in memory: texts newest first, and what is known of its end. `next`: the id of a match below it."""

    texts: Sequence[bytes]
    end: End
    next: str | None = None


class Copies:
    """The copies of one process. Without `shared` there is no L2."""

    def __init__(
        self,
        reads: Reads,
        ring: Callable[[], Ring],
        arrivals: Arrivals,
        tasks: BackgroundTasks,
        *,
        shared: Shared | None,
        store: Callable[[], Store],
        window_bytes: int,
    ) -> None:
        self.window = ProcessWindow(reads, ring, arrivals, window_bytes, tasks)
        self.results = PageCache("results", ring, shared, store)
        self.events = PageCache("events", ring, shared, store)
        self.profiles = PageCache("profiles", ring, shared, store)
        self._pages = (self.results, self.events, self.profiles)
        self._ring = ring
        self._tasks = tasks
        self._sweeping: Task | None = None

    def start(self) -> None:
        """Begin to fill the window; needs a running loop."""
        self._sweeping = self._tasks.service(self._sweep(), "sweep of the caches")
        self.window.start()

    async def stop(self) -> None:
        """Stop filling the window."""
        await cancel([self._sweeping])
        await self.window.stop()

    def clear(self) -> None:
        """Drop the copies of this process; the window is filled again."""
        for pages in self._pages:
            pages.clear()
        self.window.clear()

    def apply(self, changes: Sequence[Change]) -> None:
        """Take note that the ring has applied `changes`."""
        for change in changes:
            if type(change) is Removed:
                self.events.drop(event_filter(change.event_id))
        self.window.look()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for pages in self._pages:
                pages.sweep(now)

    def known(self, filters: Sequence[Filter]) -> Known | None:
        """The answer to an anonymous REQ as of the ring's position, None unless memory holds all of it."""
        ring = self._ring()
        if ring.position < ring.complete_from:
            return None
        now = int(time.time())
        if len(filters) == 1:
            return self._known(filters[0], now)
        found = []
        for flt in filters:
            known = self._known(flt, now)
            if known is None:
                return None
            found.append(known)
        texts = merged_texts([known.texts for known in found])
        return Known(texts, _end_of(found, texts))

    def _known(self, flt: Filter, now: int) -> Known | None:
        if flt.limit == 0:
            return _ASKED_NOTHING
        # `visibility.readable_part` leaves none of kinds that are not stored.
        if flt.kinds is not None and not flt.kinds:
            return _NOTHING
        window = self.window.find(flt, now)
        if window is not None:
            return Known([event.json for event in window.events], window.end, window.next)
        if flt.ids is not None and (known := self._newest_by_id(flt, flt.ids, now)) is not None:
            return known
        pages, key = self.cache_of(flt)
        page = pages.look(key, now)
        return None if page is None else Known(page.texts, page.end, page.next)

    def _newest_by_id(self, flt: Filter, ids: Iterable[str], now: int) -> Known | None:
        """The answer to a filter of ids, all of which are in the ring; it reaches further back than the window."""
        event_of = self._ring().event
        found: list[StoredEvent] = []
        for event_id in ids:
            event = event_of(event_id)
            if event is None:
                return None
            if visible(event, ANONYMOUS, now) and flt.matches(event):
                found.append(event)
        found.sort(key=newest_first)
        kept = cut(found, flt)
        texts = [event.json for event in kept]
        if len(kept) < len(found):
            return Known(texts, End.MORE, found[len(kept)].id)
        return Known(texts, End.FINISH)

    def cache_of(self, flt: Filter) -> tuple[PageCache, Filter]:
        """The cache that a filter with a limit above 0 belongs to, and the equivalent filter that is its key there."""
        if flt.since is None and flt.until is None and not flt.tags:
            ids, authors, kinds = flt.ids, flt.authors, flt.kinds
            if ids is not None and len(ids) == 1 and authors is None and kinds is None:
                return self.events, event_filter(next(iter(ids)))
            if kinds == PROFILE_KINDS and ids is None and authors is not None and len(authors) == 1:
                return self.profiles, profile_filter(next(iter(authors)))
        return self.results, flt


_NOTHING = Known((), End.FINISH)

_ASKED_NOTHING = Known((), End.UNKNOWN)
"""Of `limit` 0: what is stored was not looked up."""


def _end_of(found: Sequence[Known], texts: Sequence[bytes]) -> End:
    """What is known of the end of a union, as `relay.storage.read_result.end_of` says of parts."""
    ends = {known.end for known in found}
    if ends == {End.FINISH}:
        return End.FINISH
    if End.MORE not in ends:
        return End.UNKNOWN
    sent = set(map(id_of, texts))
    more = any(known.next is not None and known.next.encode() not in sent for known in found)
    return End.MORE if more else End.UNKNOWN

"""The pages of a process, results and feeds, and the results of the shared cache.

Rule: a page is used only as what PostgreSQL would answer at the ring's position; one that cannot be brought there goes.
"""

import time
from collections.abc import Callable, Sequence

from relay.caching.feeds import feed_of
from relay.caching.memory import Memory
from relay.caching.page import Page
from relay.caching.record import Record, digest, pack, result_key, unpack
from relay.caching.registry import CacheCounters, Layer, registry
from relay.caching.shared import Shared
from relay.caching.spread import ttl_seconds
from relay.changes.ring import Ring
from relay.protocol.filters import Filter

MAX_PAGE_BYTES = 2_097_152
"""A larger answer is not kept: a few of them would take the place of thousands."""


class Pages:
    """L1 by filter; L2 by the filter's canonical form and the epoch. Without `shared` there is no L2."""

    def __init__(self, ring: Callable[[], Ring], shared: Shared | None, epoch: Callable[[], int]) -> None:
        self.results = registry.register(CacheCounters("results", Layer.L1))
        self.feeds = registry.register(CacheCounters("feeds", Layer.L1))
        self.shared_results = registry.register(CacheCounters("results", Layer.L2))
        self._ring = ring
        self._shared = shared
        self._epoch = epoch
        self._results: Memory[Filter, Page] = Memory(self.results)
        self._feeds: Memory[Filter, Page] = Memory(self.feeds)
        self._asked_feeds: Memory[Filter, bool] = Memory(CacheCounters("asked feeds", Layer.L1))

    def find(self, flt: Filter, now: int) -> Sequence[bytes] | None:
        """The answer to `flt` at the ring's position and at `now` (Unix seconds), None if no page has it."""
        ring = self._ring()
        page = self._at_hand(self._results, flt, ring, now)
        if page is not None:
            self.results.hits += 1
            self._share(page, ring)
            return page.texts
        self.results.misses += 1
        base = feed_of(flt)
        if base is None:
            return None
        feed = self._at_hand(self._feeds, base, ring, now)
        texts = None if feed is None else feed.answer(flt)
        if texts is None:
            self.feeds.misses += 1
        else:
            self.feeds.hits += 1
        return texts

    @staticmethod
    def _at_hand(pages: Memory[Filter, Page], flt: Filter, ring: Ring, now: int) -> Page | None:
        page = pages.get(flt)
        if page is None or page.position > ring.position:  # ahead of what was applied here: of use in a moment
            return None
        if page.bring(ring, now):
            return page
        pages.drop(flt)
        return None

    def keep(self, page: Page, ring: Ring) -> None:
        """Keep a page that was asked for when `ring` was this process's: after another beginning, which may be that of
        an epoch, its position may mean something else.
        """
        if page.size_bytes <= MAX_PAGE_BYTES and ring is self._ring():
            self._results.put(page.flt, page, page.size_bytes)

    def kept(self, flt: Filter) -> Page | None:
        """The page of just this filter, wherever it stands."""
        return self._results.get(flt)

    def keep_feed(self, feed: Page, ring: Ring) -> None:
        """As `keep`, for a feed."""
        if feed.size_bytes <= MAX_PAGE_BYTES and ring is self._ring():
            self._feeds.put(feed.flt, feed, feed.size_bytes)

    def feed_wanted(self, flt: Filter) -> Filter | None:
        """The feed that covers `flt`, if something that it covers was asked for before; None otherwise."""
        base = feed_of(flt)
        if base is None or self._asked_feeds.get(base) is not None:
            return base
        self._asked_feeds.put(base, True, 0)
        return None

    def feed_refused(self, base: Filter) -> None:
        """The feed ended too early for what was asked."""
        self._asked_feeds.drop(base)

    def clear(self) -> None:
        """Drop the pages of this process."""
        self._results.clear()
        self._feeds.clear()

    def sweep(self, now: float) -> None:
        """Let go what nobody has asked for lately; `now` in seconds of the monotonic clock."""
        for memory in (self._results, self._feeds, self._asked_feeds):
            memory.sweep(now)

    # -- The shared cache ---------------------------------------------------------------------------------------------

    def key(self, flt: Filter) -> bytes:
        """The key of a filter's answer in this epoch."""
        return result_key(self._epoch(), digest(flt))

    def _share(self, page: Page, ring: Ring) -> None:
        """Have L2 hold a page that was asked for again, and no copy that the rings will soon not reach."""
        if page.shared_at * 2 <= ring.floor + ring.position and self._shared is not None and self._shared.up:
            self.write(page)

    def write(self, page: Page) -> None:
        """Write a page to L2, without waiting for it; none of which an event has expired."""
        if self._shared is None or page.size_bytes > MAX_PAGE_BYTES:
            return
        if page.expires_at is not None and page.expires_at <= time.time():
            return
        page.shared_at = page.position
        owner = digest(page.flt)
        value = pack(owner, Record(page.position, page.complete, list(page.texts)))
        self._shared.set(result_key(self._epoch(), owner), value, ttl_seconds(page.expires_at))

    async def read(self, flt: Filter) -> Page | None:
        """What L2 holds for a filter, kept in L1; None if that is nothing, too old for the ring, or not ours."""
        if self._shared is None:
            return None
        owner, before = digest(flt), self._ring()
        (value,) = await self._shared.get_many([result_key(self._epoch(), owner)])
        page = None
        if value is not None and self._ring() is before:
            try:
                record = unpack(owner, value)
                page = Page(flt, record.position, record.texts, record.complete)
            except ValueError:
                self.shared_results.errors += 1
        if page is None or page.position < before.floor:
            self.shared_results.misses += 1
            return None
        self.shared_results.hits += 1
        page.shared_at = page.position
        self.keep(page, before)
        return page

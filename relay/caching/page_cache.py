"""Caches of answers by filter, in this process (L1) and in the shared cache (L2).

An event by id is the answer of `{"ids": [id]}`, a profile that of `{"authors": [key], "kinds": [0], "limit": 1}`. Rule:
a page is used only as what PostgreSQL would answer at the ring's position; a page that cannot be advanced is dropped.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from relay.caching.lru_cache import LruCache
from relay.caching.page import Page
from relay.caching.probe_policy import LOOKS, PLACES, WRITES, ProbePolicy
from relay.caching.record import InvalidRecord, Record, digest, key, pack, ttl_seconds, unpack
from relay.caching.registry import CacheCounters, Layer, registry
from relay.caching.shared import Shared
from relay.changes.ring import Ring
from relay.protocol.filters import Filter
from relay.storage.store import Store

PROFILE_KINDS = frozenset((0,))

MAX_PAGE_BYTES = 2_097_152
"""A larger answer is not kept: a few would evict thousands of others."""


class PageCache:
    """The pages called `name`. Without `shared` there is no L2."""

    def __init__(self, name: str, ring: Callable[[], Ring], shared: Shared | None, store: Callable[[], Store]) -> None:
        self.name = name
        self.l1 = registry.register(CacheCounters(name, Layer.L1))
        self.l2 = registry.register(CacheCounters(name, Layer.L2))
        self._ring = ring
        self._shared = shared
        self._store = store
        self._memory: LruCache[tuple[object, ...], Page] = LruCache(self.l1)
        self._probes = ProbePolicy()
        self._places = ProbePolicy()

    def look(self, flt: Filter, now: int) -> Page | None:
        """`find`, and count whether it was there."""
        page = self.find(flt, now)
        self.count(page is not None, 1)
        return page

    def count(self, found: int, looks: int) -> None:
        """Count so many looks at L1 for an answer, of which some found it."""
        self.l1.hits += found
        self.l1.misses += looks - found
        self._places.looked(found / looks)

    def find(self, flt: Filter, now: int) -> Page | None:
        """The answer to `flt` at the ring's position and at `now` (Unix seconds), None if it is not in L1.

        Not counted. A page that is used again is written to L2.
        """
        ring, place = self._ring(), flt.key
        page = self._memory.get(place)
        # Not yet: it is ahead of what was applied here, or that lacks events which the log did not hold any more.
        if page is None or page.position > ring.position or ring.position < ring.complete_from:
            return None
        texts = page.texts
        if not page.advance(ring, now):
            self._memory.drop(place)
            return None
        if page.texts is not texts and not self.keep(page, ring):  # its size is another now
            self._memory.drop(place, "bytes")
        # Written again once half the ring has passed, so that other processes can still advance it.
        due = self._shared is not None and page.shared_at * 2 <= ring.floor + ring.position
        if due and self._probes.is_due(WRITES):
            self.share([page])
        return page

    def keep(self, page: Page, ring: Ring) -> bool:
        """Keep a page in L1, unless it is too large; True if it was. `ring`: this process's ring when the page was
        queried. If the ring was replaced since, as for another epoch, the page is not kept: its position may mean
        another state.
        """
        size = page.size_bytes
        if size > MAX_PAGE_BYTES or ring is not self._ring():
            return False
        self._memory.put(page.flt.key, page, size)
        return True

    def admits(self) -> bool:
        """True if what PostgreSQL has just answered shall be kept; while L1 seldom has what is looked for, one in eight
        answers.
        """
        return self._places.is_due(PLACES)

    def drop(self, flt: Filter) -> None:
        """Drop a page here and in L2, because its event was removed."""
        if self._memory.drop(flt.key) and self._shared is not None and self._shared.up:
            self._shared.delete([key(self._store().name, self.name, digest(flt))])

    def share(self, pages: Iterable[Page]) -> None:
        """Write pages to L2 without waiting; too large and expired ones are left out."""
        shared = self._shared
        if shared is None or not shared.up:
            return
        now, store = time.time(), self._store().name
        for page in pages:
            if page.size_bytes > MAX_PAGE_BYTES or (page.expires_at is not None and page.expires_at <= now):
                continue
            page.shared_at = page.position
            shared.set(*item(store, self.name, page))

    async def load(self, filters: Sequence[Filter]) -> int:
        """Copy pages from L2 into L1; returns how many were found. While the hit rate is low, L2 is asked rarely."""
        shared = self._shared
        if shared is None or not shared.up or not filters or not self._probes.is_due(LOOKS):
            return 0
        ring, store = self._ring(), self._store().name
        owners = [digest(flt) for flt in filters]
        values = await shared.get_many([key(store, self.name, owner) for owner in owners])
        found = 0
        for flt, owner, value in zip(filters, owners, values, strict=True):
            page = None if value is None else self._read(flt, owner, value)
            if page is not None and page.position >= ring.floor and ring is self._ring():
                found += 1
                self.keep(page, ring)
        self._probes.looked(found / len(filters))
        self.l2.hits += found
        self.l2.misses += len(filters) - found
        return found

    def _read(self, flt: Filter, owner: bytes, value: bytes) -> Page | None:
        try:
            record = unpack(owner, value)
            page = Page(flt, record.position, record.texts, record.complete, record.next)
        except InvalidRecord:
            self.l2.errors += 1
            return None
        page.shared_at = page.position
        return page

    def sweep(self, now: float) -> None:
        """Drop what was not used for a minute; `now` in monotonic seconds."""
        self._memory.sweep(now)

    def clear(self) -> None:
        """Drop the pages of this process."""
        self._memory.clear()


def item(store: str, cache: str, page: Page) -> tuple[bytes, bytes, float]:
    """Key, value and time to live (seconds) of a page in L2."""
    owner = digest(page.flt)
    value = pack(owner, Record(page.position, page.complete, page.texts, page.next))
    return key(store, cache, owner), value, ttl_seconds(page.expires_at)


def event_filter(event_id: str) -> Filter:
    """The filter whose answer is one event, or empty."""
    return Filter(frozenset((event_id,)), None, None, None, None, 1, False, ())


def profile_filter(pubkey: str) -> Filter:
    """The filter whose answer is an author's newest kind 0, or empty."""
    return Filter(None, frozenset((pubkey,)), PROFILE_KINDS, None, None, 1, False, ())

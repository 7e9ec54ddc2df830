"""L1: an LRU cache of one process, bounded in entries, bytes and time since last use.

Rule: an entry lives `ttl_seconds` from its last use, and no bound is ever exceeded. Use renews the time and moves the
entry to the end, so the order of use is the order of expiry: expired entries are at the front.
"""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from cachebox import LRUCache

from relay.caching.registry import CacheCounters

K = TypeVar("K")
V = TypeVar("V")

ENTRY_OVERHEAD_BYTES = 200
"""What an entry costs beside key and value (measured, CPython 3.11)."""

MAX_ENTRIES = 10_000
MAX_BYTES = 64 * 2**20
TTL_SECONDS = 60.0
SWEPT_AT_ONCE = 2_000


class _Entry(Generic[V]):
    __slots__ = ("bytes", "expires", "value")

    def __init__(self, value: V, size_bytes: int, expires: float) -> None:
        self.value = value
        self.bytes = size_bytes
        self.expires = expires


class LruCache(Generic[K, V]):
    """Values by key; None cannot be a value.

    `counters` gets size, bytes and `clear` of this cache, and its evictions by reason: `size` and `bytes` (the bounds),
    `expired`, `changed` (dropped by the caller), `cleared`. The caller counts hits and misses. `clock` gives monotonic
    seconds.
    """

    def __init__(
        self,
        counters: CacheCounters,
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        ttl_seconds: float = TTL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bytes = 0
        self._counters = counters
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._ttl = ttl_seconds
        self._clock = clock
        self._entries: LRUCache[K, _Entry[V]] = LRUCache(0)  # unbounded: it would evict uncounted
        self._find = self._entries.get
        counters.size = self.__len__
        counters.bytes = lambda: self.bytes
        counters.clear = self.clear

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value, which is renewed; None if there is none or it has expired."""
        entry = self._find(key)
        if entry is None:
            return None
        now = self._clock()
        if entry.expires <= now:
            self.drop(key, "expired")
            return None
        entry.expires = now + self._ttl
        return entry.value

    def put(self, key: K, value: V, size_bytes: int) -> None:
        """Keep a value, replacing an earlier one. `size_bytes`: of key and value together.

        A value larger than the whole cache is not kept, and the earlier one is dropped.
        """
        size = size_bytes + ENTRY_OVERHEAD_BYTES
        now = self._clock()
        if size > self._max_bytes:
            self._forget(key)
            self._counters.evictions["bytes"] += 1
            return
        earlier = self._entries.insert(key, _Entry(value, size, now + self._ttl))
        self.bytes += size - (earlier.bytes if earlier is not None else 0)
        while len(self._entries) > self._max_entries:
            self._evict("size", now)
        while self.bytes > self._max_bytes:
            self._evict("bytes", now)

    def _evict(self, reason: str, now: float) -> None:
        _, entry = self._entries.popitem()
        self.bytes -= entry.bytes
        self._counters.evictions["expired" if entry.expires <= now else reason] += 1

    def _forget(self, key: K) -> bool:
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self.bytes -= entry.bytes
        return True

    def drop(self, key: K, reason: str = "changed") -> bool:
        """Drop one entry; True if it was there."""
        found = self._forget(key)
        if found:
            self._counters.evictions[reason] += 1
        return found

    def clear(self) -> int:
        """Drop everything; returns how many entries there were."""
        count = len(self._entries)
        self._entries.clear()
        self.bytes = 0
        self._counters.evictions["cleared"] += count
        return count

    def sweep(self, now: float, most: int = SWEPT_AT_ONCE) -> int:
        """Drop up to `most` entries that have expired at `now`; returns how many. For a timer."""
        swept = 0
        while swept < most and len(self._entries):
            oldest = self._entries.least_recently_used()
            entry = None if oldest is None else self._entries.peek(oldest)
            if entry is None or entry.expires > now:
                break
            self._evict("expired", now)
            swept += 1
        return swept

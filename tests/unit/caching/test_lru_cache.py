"""L1 against a naive list: what it keeps, what it lets go and why, and that no bound is ever passed."""

import random
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from relay.caching.lru_cache import ENTRY_OVERHEAD_BYTES, LruCache
from relay.caching.registry import CacheCounters, Layer

MAX_ENTRIES = 4
MAX_BYTES = 4 * ENTRY_OVERHEAD_BYTES
TTL_SECONDS = 10.0


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def counters() -> CacheCounters:
    return CacheCounters("events", Layer.L1)


def small(clock: Clock) -> tuple[LruCache[str, int], CacheCounters]:
    counted = counters()
    memory = LruCache[str, int](
        counted, max_entries=MAX_ENTRIES, max_bytes=MAX_BYTES, ttl_seconds=TTL_SECONDS, clock=clock
    )
    return memory, counted


@dataclass
class Naive:
    """The same rules over a plain list of (key, value, bytes, expiry), least recently used first."""

    clock: Clock
    entries: list[tuple[str, int, int, float]] = field(default_factory=list)
    evictions: Counter[str] = field(default_factory=Counter)

    def _take(self, key: str) -> tuple[str, int, int, float] | None:
        found = next((entry for entry in self.entries if entry[0] == key), None)
        if found is not None:
            self.entries.remove(found)
        return found

    def get(self, key: str) -> int | None:
        found = self._take(key)
        if found is None:
            return None
        if found[3] <= self.clock.now:
            self.evictions["expired"] += 1
            return None
        self.entries.append((key, found[1], found[2], self.clock.now + TTL_SECONDS))
        return found[1]

    def put(self, key: str, value: int, size_bytes: int) -> None:
        self._take(key)
        if size_bytes + ENTRY_OVERHEAD_BYTES > MAX_BYTES:
            self.evictions["bytes"] += 1
            return
        self.entries.append((key, value, size_bytes + ENTRY_OVERHEAD_BYTES, self.clock.now + TTL_SECONDS))
        while len(self.entries) > MAX_ENTRIES:
            self._evict("size")
        while sum(entry[2] for entry in self.entries) > MAX_BYTES:
            self._evict("bytes")

    def _evict(self, reason: str) -> None:
        self.evictions["expired" if self.entries.pop(0)[3] <= self.clock.now else reason] += 1

    def drop(self, key: str) -> bool:
        found = self._take(key) is not None
        self.evictions["changed"] += found
        return found

    def clear(self) -> int:
        count = len(self.entries)
        self.entries.clear()
        self.evictions["cleared"] += count
        return count

    def sweep(self) -> int:
        old = [entry for entry in self.entries if entry[3] <= self.clock.now]
        self.entries = [entry for entry in self.entries if entry not in old]
        self.evictions["expired"] += len(old)
        return len(old)


keys = st.sampled_from("abcdef")
steps = st.one_of(
    st.tuples(st.just("get"), keys),
    st.tuples(st.just("put"), keys, st.integers(0, 9), st.sampled_from([0, 1, 100, 250, 700, MAX_BYTES])),
    st.tuples(st.just("drop"), keys),
    st.tuples(st.just("clear")),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 5.0, TTL_SECONDS])),
)


@given(st.lists(steps, max_size=60))
def test_it_keeps_and_counts_what_a_plain_list_would(plan: list[tuple]) -> None:
    clock = Clock()
    memory, counted = small(clock)
    naive = Naive(clock)
    for name, *given_ in plan:
        match name:
            case "get":
                assert memory.get(*given_) == naive.get(*given_)
            case "put":
                memory.put(*given_)
                naive.put(*given_)
            case "drop":
                assert memory.drop(*given_) == naive.drop(*given_)
            case "clear":
                assert memory.clear() == naive.clear()
            case "sweep":
                assert memory.sweep(clock.now) == naive.sweep()
            case "wait":
                clock.now += given_[0]
        assert len(memory) == len(naive.entries) <= MAX_ENTRIES
        assert memory.bytes == sum(entry[2] for entry in naive.entries) <= MAX_BYTES
        assert +counted.evictions == +naive.evictions


def test_an_entry_lives_on_while_it_is_used() -> None:
    clock = Clock()
    memory, _ = small(clock)
    memory.put("a", 1, 1)
    for _ in range(5):
        clock.now += TTL_SECONDS - 1
        assert memory.get("a") == 1
    clock.now += TTL_SECONDS
    assert memory.get("a") is None


def test_a_sweep_drops_no_more_than_its_limit() -> None:
    clock = Clock()
    memory, _ = small(clock)
    for key in "abc":
        memory.put(key, 1, 0)
    clock.now += TTL_SECONDS
    assert [memory.sweep(clock.now, 2), memory.sweep(clock.now, 2)] == [2, 1]


def test_the_registry_sees_size_and_bytes() -> None:
    memory, counted = small(Clock())
    memory.put("a", 1, 50)
    assert (counted.size(), counted.bytes()) == (1, 50 + ENTRY_OVERHEAD_BYTES)


def test_a_million_keys_stay_within_both_bounds() -> None:
    counted = counters()
    memory = LruCache[int, int](counted, max_entries=10_000, max_bytes=2**20, clock=Clock())
    rng = random.Random(1)
    most_entries = most_bytes = 0
    for key in range(1_000_000):
        memory.put(key, key, rng.randrange(200) if key % 64 == 0 else 8)
        if key % 1_000 == 0:
            most_entries = max(most_entries, len(memory))
            most_bytes = max(most_bytes, memory.bytes)
    assert most_entries <= 10_000
    assert most_bytes <= 2**20
    assert counted.evictions["bytes"] == 1_000_000 - len(memory)

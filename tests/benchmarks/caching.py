"""What the parts of the caches cost this process: an entry of memory, a command to the shared cache.

Yardsticks: the same rules over a plain OrderedDict and over cachetools (if it is installed), and redis-py's asyncio
client. A command is counted in seconds of this process's CPU: the loop's share is what limits a relay.
"""

import asyncio
import random
import statistics
import tempfile
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import uvloop
from redis.asyncio import Redis

from relay.caching.lru_cache import MAX_ENTRIES, TTL_SECONDS, LruCache
from relay.caching.registry import CacheCounters, Layer
from relay.caching.shared import Shared
from tests.benchmarks.figure import ROUNDS, Figure, paired

ENTRIES = 10_000
COMMANDS = 2_000
MANY = 20
KEYS = [b"v1:{%032d}:event" % number for number in range(ENTRIES)]
VALUE = b"x" * 600


class Cache(Protocol):
    """What is compared."""

    def get(self, key: bytes) -> object: ...

    def put(self, key: bytes, value: bytes, size_bytes: int) -> None: ...


class Plain:
    """The rules of LruCache without its counters, over any mapping whose order `touch` keeps."""

    def __init__(self, entries: MutableMapping[bytes, list[Any]], touch: Callable[[bytes], None] | None) -> None:
        self._entries = entries
        self._touch = touch

    def get(self, key: bytes) -> object:
        entry = self._entries.get(key)
        if entry is None:
            return None
        now = time.monotonic()
        if entry[1] <= now:
            del self._entries[key]
            return None
        entry[1] = now + TTL_SECONDS
        if self._touch is not None:
            self._touch(key)
        return entry[0]

    def put(self, key: bytes, value: bytes, size_bytes: int) -> None:
        self._entries[key] = [value, time.monotonic() + TTL_SECONDS, size_bytes]
        if self._touch is not None:
            self._touch(key)
            while len(self._entries) > MAX_ENTRIES:
                del self._entries[next(iter(self._entries))]


def caches() -> Iterator[tuple[str, Cache]]:
    """Others than ours, by name."""
    ordered: OrderedDict[bytes, list[Any]] = OrderedDict()
    yield "OrderedDict", Plain(ordered, ordered.move_to_end)
    try:
        cachetools = import_module("cachetools")
    except ImportError:
        return
    yield "cachetools", Plain(cachetools.LRUCache(MAX_ENTRIES), None)


def memory() -> list[Figure]:
    """An entry found, and an entry put in place of the oldest."""
    order = random.Random(1).sample(KEYS, ENTRIES)
    fresh = iter(range(ENTRIES, 10**9))
    ours = LruCache[bytes, bytes](CacheCounters("events", Layer.L1))

    def found(cache: Cache) -> Callable[[], int]:
        for key in KEYS:
            cache.put(key, VALUE, len(VALUE))

        def work() -> int:
            get = cache.get
            for key in order:
                get(key)
            return len(order)

        return work

    def put(cache: Cache) -> Callable[[], int]:
        def work() -> int:
            keys = [b"%048d" % number for number, _ in zip(fresh, order, strict=False)]
            for key in keys:
                cache.put(key, VALUE, len(VALUE))
            return len(keys)

        return work

    figures = []
    for name, other in caches():
        figures.append(paired(f"caching: L1 get, {name}", found(ours), name, found(other)))
        figures.append(paired(f"caching: L1 put, {name}", put(ours), name, put(other)))
    return figures


Work = Callable[[], Awaitable[object]]


@contextmanager
def _valkey() -> Iterator[str]:
    from relayproject.runtime.valkey import EmbeddedValkey

    with tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
        server = EmbeddedValkey(Path(folder), Path(folder) / "log")
        server.start()
        try:
            yield server.url
        finally:
            server.stop(hasty=True)


def shared() -> list[Figure]:
    """Commands to the shared cache through our client and through redis-py's."""
    with _valkey() as url:
        return uvloop.run(_compare(url))


async def _compare(url: str) -> list[Figure]:
    ours = Shared(url)
    await ours.start()
    theirs = Redis.from_url(url)
    try:
        await theirs.mset(dict.fromkeys(KEYS[:MANY], VALUE))
        while not ours.up:
            await asyncio.sleep(0.01)
        key, keys = KEYS[0], KEYS[:MANY]
        pairs: Sequence[tuple[str, Work, Work]] = (
            ("GET", lambda: ours.call(key, b"GET", key), lambda: theirs.get(key)),
            ("MGET of 20", lambda: ours.get_many(keys), lambda: theirs.mget(keys)),
            (
                "4 GETs of one turn",
                lambda: asyncio.gather(*[ours.call(key, b"GET", key) for _ in range(4)]),
                lambda: asyncio.gather(*[theirs.get(key) for _ in range(4)]),
            ),
        )
        return [await _paired_cpu(f"caching: {name} a CPU second", work, other) for name, work, other in pairs]
    finally:
        await ours.stop()
        await theirs.aclose()


async def _paired_cpu(name: str, measured: Work, yardstick: Work) -> Figure:
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(await _rate(measured))
        theirs.append(await _rate(yardstick))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return Figure(name, statistics.median(ours), "redis-py", statistics.median(theirs), ratio)


async def _rate(work: Work) -> float:
    start = time.process_time()
    for _ in range(COMMANDS):
        await work()
    return COMMANDS / (time.process_time() - start)


def measure() -> list[Figure]:
    """All of it; starts a Valkey of its own."""
    return memory() + shared()

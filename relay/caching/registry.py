"""The registry of this process's caches: what metrics, the admin and `manage.py cache` read.

Rule: every cache registers here by name and layer, and counts with plain integers.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from msgspec import Struct


class Layer(StrEnum):
    """Where a copy is: L1 in this process, L2 in the shared cache; L3 is PostgreSQL itself."""

    L1 = "L1"
    L2 = "L2"
    L3 = "L3"


def _nothing() -> int:
    return 0


@dataclass(slots=True, eq=False)
class CacheCounters:
    """The counts of one cache. `size` (entries) and `bytes` are called when read; 0 where the cache cannot know.

    `clear` empties it, as far as it is in this process, and returns how many entries were dropped.
    """

    name: str  # "window", "events", "results", "profiles"
    layer: Layer
    hits: int = 0
    misses: int = 0
    errors: int = 0  # of the layer itself: unavailable, too slow, or an invalid value
    evictions: Counter[str] = field(default_factory=Counter)  # by reason: size, bytes, expired, changed, cleared
    size: Callable[[], int] = _nothing
    bytes: Callable[[], int] = _nothing
    clear: Callable[[], int] = _nothing


class CacheFigures(Struct, frozen=True):
    """The figures of one cache of one process; totals count since the start of the process."""

    name: str
    layer: str
    size: int
    bytes: int
    hits: int
    misses: int
    errors: int
    evictions: dict[str, int]


class Registry:
    """The caches of a process, by name and layer."""

    def __init__(self) -> None:
        self._caches: dict[tuple[str, Layer], CacheCounters] = {}

    def register(self, counters: CacheCounters) -> CacheCounters:
        """Add a cache; it replaces an earlier one of the same name and layer."""
        self._caches[counters.name, counters.layer] = counters
        return counters

    def clear(self, name: str | None = None) -> int:
        """Empty the caches of this name (None: all) in this process; returns how many entries were dropped."""
        return sum(cache.clear() for cache in self if name is None or cache.name == name)

    def __iter__(self) -> Iterator[CacheCounters]:
        return iter([self._caches[key] for key in sorted(self._caches)])

    def figures(self) -> list[CacheFigures]:
        """The figures of every cache, by name and layer."""
        return [
            CacheFigures(
                name=cache.name,
                layer=cache.layer.value,
                size=cache.size(),
                bytes=cache.bytes(),
                hits=cache.hits,
                misses=cache.misses,
                errors=cache.errors,
                evictions=dict(cache.evictions),
            )
            for cache in self
        ]


registry = Registry()
"""The registry of this process."""

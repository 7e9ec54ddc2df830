"""Queries whose statements ran long in PostgreSQL, by their shape: which fields, how many values, never the values.

Rule: a quick statement costs one comparison. The table is bounded; labels of metrics come from a fixed set.
"""

import logging
import math
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from relay.protocol.filters import Filter

log = logging.getLogger("relay.storage")

BOUNDS_MS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0)
MOST_SHAPES = 200
"""Of one worker, about 100 KB; then the one that was seen the longest ago is forgotten."""

MOST_SHOWN = 20
"""Of a worker and of all together, those that took PostgreSQL the longest time in all."""

LOG_SECONDS = 1.0
DIFFERENT_FILTERS = 4
"""How many different filters of one REQ its shape lists; the others are counted."""


class SlowShape(Struct, frozen=True):
    """A shape with the figures of its slow statements, also of several workers.

    `counts`: statements by duration (BOUNDS_MS), the last ones above all bounds. `stopped`: statements that stopped at
    a bound on entries read, slow or not. `seen_at`: Unix seconds.
    """

    shape: str
    stopped: int
    counts: list[int]
    total_ms: float
    longest_ms: float
    seen_at: float

    @property
    def slow(self) -> int:
        """Slow statements."""
        return sum(self.counts)


class SlowQueries:
    """The slow queries of one worker."""

    def __init__(self, seconds: float = 0.1, clock: Callable[[], float] = time.time) -> None:
        """A statement is slow if it ran for longer than `seconds`."""
        self.least_ms = seconds * 1_000
        self.counts: dict[str, int] = {}
        """Slow statements by the fields of their filters (`fields_of`)."""
        self.milliseconds: dict[str, int] = {}
        """How long they ran in all."""
        self._clock = clock
        self._shapes: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._shapes)

    def ran(self, filters: Sequence[Filter], ms: float) -> None:
        """A statement for `filters` ran for `ms` in PostgreSQL; it is noted if that is slow."""
        if ms <= self.least_ms or not filters:
            return
        fields = fields_of(filters)
        self.counts[fields] = self.counts.get(fields, 0) + 1
        self.milliseconds[fields] = self.milliseconds.get(fields, 0) + round(ms)
        entry = self._entry(filters)
        entry.counts[bisect_left(BOUNDS_MS, ms)] += 1
        entry.total_ms += ms
        entry.longest_ms = max(entry.longest_ms, ms)
        if entry.seen_at - entry.logged_at >= LOG_SECONDS:
            entry.logged_at = entry.seen_at
            log.warning("a slow query ran for %d ms in PostgreSQL: %s", ms, entry.shape)

    def stopped(self, filters: Sequence[Filter]) -> None:
        """A statement for `filters` stopped at its bound on entries read."""
        self._entry(filters).stopped += 1

    def shown(self) -> list[SlowShape]:
        """The MOST_SHOWN shapes that took the longest in all."""
        found = sorted(self._shapes.values(), key=lambda entry: (-entry.total_ms, -entry.stopped, entry.shape))
        return [entry.frozen() for entry in found[:MOST_SHOWN]]

    def _entry(self, filters: Sequence[Filter]) -> "_Entry":
        shape = shape_of(filters)
        entry = self._shapes.get(shape)
        if entry is None:
            if len(self._shapes) >= MOST_SHAPES:
                self._shapes.popitem(last=False)
            entry = self._shapes[shape] = _Entry(shape)
        else:
            self._shapes.move_to_end(shape)
        entry.seen_at = self._clock()
        return entry


class _Entry:
    __slots__ = ("counts", "logged_at", "longest_ms", "seen_at", "shape", "stopped", "total_ms")

    def __init__(self, shape: str) -> None:
        self.shape = shape
        self.stopped = 0
        self.counts = [0] * (len(BOUNDS_MS) + 1)
        self.total_ms = 0.0
        self.longest_ms = 0.0
        self.seen_at = 0.0
        self.logged_at = -math.inf

    def frozen(self) -> SlowShape:
        return SlowShape(
            self.shape,
            self.stopped,
            list(self.counts),
            round(self.total_ms, 1),
            round(self.longest_ms, 1),
            self.seen_at,
        )


def merged(parts: Iterable[SlowShape]) -> list[SlowShape]:
    """The sum over workers, in any order: the MOST_SHOWN shapes that took the longest in all."""
    found: dict[tuple[str, int], SlowShape] = {}
    for part in parts:
        key = part.shape, len(part.counts)  # another version may have other bounds
        before = found.get(key)
        found[key] = part if before is None else _sum(before, part)
    return sorted(found.values(), key=lambda one: (-one.total_ms, -one.stopped, one.shape))[:MOST_SHOWN]


def _sum(one: SlowShape, other: SlowShape) -> SlowShape:
    return SlowShape(
        one.shape,
        one.stopped + other.stopped,
        [a + b for a, b in zip(one.counts, other.counts, strict=True)],
        one.total_ms + other.total_ms,
        max(one.longest_ms, other.longest_ms),
        max(one.seen_at, other.seen_at),
    )


# -- Shapes ------------------------------------------------------------------------------------------------------------


def shape_of(filters: Sequence[Filter]) -> str:
    """The shape of a query, such as `authors:1000 kinds:1 since limit:100`, at most a few hundred characters.

    A number is that of values, rounded up to a power of ten. Filters of one shape are counted: `3 * (ids:1 limit:10)`.
    """
    found: dict[str, int] = {}
    for flt in filters:
        shape = _shape(flt)
        found[shape] = found.get(shape, 0) + 1
    if len(filters) == 1:
        return next(iter(found))
    listed = [f"{number} * ({shape})" for shape, number in sorted(found.items())]
    rest = len(listed) - DIFFERENT_FILTERS
    return " + ".join(listed[:DIFFERENT_FILTERS]) + (f" + {rest} others" if rest > 0 else "")


def fields_of(filters: Sequence[Filter]) -> str:
    """Which of ids, authors, kinds and tags any of the filters has, joined by `+`; `none` without any."""
    has_ids = has_authors = has_kinds = has_tags = False
    for flt in filters:
        has_ids |= flt.ids is not None
        has_authors |= flt.authors is not None
        has_kinds |= flt.kinds is not None
        has_tags |= bool(flt.tags)
    named = (("ids", has_ids), ("authors", has_authors), ("kinds", has_kinds), ("tags", has_tags))
    return "+".join(name for name, has in named if has) or "none"


def _shape(flt: Filter) -> str:
    named = (("ids", flt.ids), ("authors", flt.authors), ("kinds", flt.kinds))
    parts = [f"{name}:{_power(len(values))}" for name, values in named if values is not None]
    parts += [f"#{letter}:{_power(len(values))}" for letter, values in flt.tags[:DIFFERENT_FILTERS]]
    parts += [f"{len(flt.tags) - DIFFERENT_FILTERS} more tags"] if len(flt.tags) > DIFFERENT_FILTERS else []
    parts += ["since"] if flt.since is not None else []
    parts += ["until"] if flt.until is not None else []
    return " ".join([*parts, f"limit:{_power(flt.limit)}"])


def _power(number: int) -> int:
    """The least power of ten that is not below the number; 0 for 0."""
    return int(10 ** len(str(number - 1))) if number > 1 else number

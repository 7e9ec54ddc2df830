"""What a query will cost PostgreSQL, estimated from its filters alone.

Rule: pure, and never low for what is certain. A query is *certain* if the indexes that `relay.storage.filter_walks`
chooses fulfil all of its conditions, so that it looks at no more rows than it returns. Every other one may look through
many events that it does not return, up to the bounds of the walks.

Figures are rounded milliseconds of a backend with its pages in memory; they only have to put queries in order.
"""

from collections.abc import Sequence

from msgspec import Struct

from relay.protocol.filters import Filter
from relay.protocol.visibility import all_public, names_private
from relay.storage.walk_bounds import BOUNDS, SPECIFIC_TAGS

WALK_MS = 0.05
ROW_MS = 0.002
LOOKED_UP_MS = 0.02

QUICK_MS = 50.0
"""A query above this is expensive."""

SMALL_MS = 1.0
"""A client's query that is certain to cost no more is small."""

UNKNOWN_MS = 5.0
"""One condition that no index fulfils, in lists that are mostly short or where most events fulfil it."""

UNBOUNDED_MS = 200.0
"""Conditions of which nothing says how many events are looked through for each that is found."""

MOST_MS = 1_000.0
"""No estimate is above this."""


class Cost(Struct, frozen=True, gc=False):
    """`ms`: milliseconds of a backend. `is_certain`: it cannot be much more. `filters`: those of the query, if any."""

    ms: float
    is_certain: bool
    filters: Sequence[Filter] = ()

    @property
    def is_quick(self) -> bool:
        """True if it may be sent where others wait for it to end."""
        return self.ms <= QUICK_MS

    @property
    def is_small(self) -> bool:
        """True if others may wait for it to end before they are answered: it reads, and little.

        A walk that may pass many events which are not public is not small.
        """
        if not self.is_certain or self.ms > SMALL_MS or not self.filters:
            return False
        return all(flt.ids is not None or all_public(flt.kinds) for flt in self.filters)


ONE_ROW = Cost(1.0, True)
"""A statement of the relay's own that reads few rows."""


def query_cost(filters: Sequence[Filter]) -> Cost:
    """The cost of one statement that answers all of `filters`."""
    if len(filters) == 1:
        cost = _of_one(filters[0])
        ms = cost.ms if WALK_MS < cost.ms <= MOST_MS else min(cost.ms + WALK_MS, MOST_MS)
        return Cost(ms, cost.is_certain, filters)
    ms, is_certain = WALK_MS, True
    for flt in filters:
        cost = _of_one(flt)
        ms += cost.ms
        is_certain = is_certain and cost.is_certain
    return Cost(min(ms, MOST_MS), is_certain, filters)


def _of_one(flt: Filter) -> Cost:
    rows = flt.limit * ROW_MS
    if flt.ids is not None:
        return Cost(len(flt.ids) * LOOKED_UP_MS + _tags_ms(flt), True)
    pairs = len(flt.authors or "*") * len(flt.kinds or "*")
    if flt.tags:
        return _of_tags(flt, pairs, rows)
    walked = pairs * WALK_MS + min(pairs, BOUNDS.walks) * rows
    if flt.authors is None and pairs > BOUNDS.walks:
        return Cost(UNBOUNDED_MS, False)  # kinds that are not among the newest events are walked, each up to the limit
    if names_private(flt):
        # a walk along events that may not be read: all of the kind, or all of the author's
        return Cost(walked + (UNBOUNDED_MS if flt.authors is None else UNKNOWN_MS), False)
    if pairs > BOUNDS.walks:
        return Cost(walked / 4, pairs * rows <= QUICK_MS)  # of an index alone
    return Cost(walked, True)


def _tags_ms(flt: Filter) -> float:
    return sum(len(values) for _, values in flt.tags) * WALK_MS


def _of_tags(flt: Filter, pairs: int, rows: float) -> Cost:
    """The tag with the fewest values is walked, or a few authors; the rest is checked for each row."""
    if flt.authors is not None and pairs <= BOUNDS.walks and SPECIFIC_TAGS.isdisjoint(name for name, _ in flt.tags):
        return Cost(UNKNOWN_MS + pairs * (WALK_MS + rows), False)
    name, values = min(flt.tags, key=lambda tag: (len(tag[1]), tag[0]))
    walked = len(values) * (WALK_MS + min(rows, 0.1)) + rows
    others = len(flt.tags) - 1 + (flt.authors is not None) + (flt.kinds is not None)
    if not others:
        return Cost(walked, len(values) * rows <= QUICK_MS)
    if name in SPECIFIC_TAGS or (others == 1 and flt.kinds is not None):
        return Cost(walked + UNKNOWN_MS, False)
    return Cost(walked + UNBOUNDED_MS, False)

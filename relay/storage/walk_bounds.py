"""How much the statement of a REQ may read and return: bounds of its walks, and the rows that a filter wants.

Rule: pure. `relay.storage.filter_walks` keeps to the bounds, `relay.storage.query_cost` estimates from them.
"""

from dataclasses import dataclass, replace

from relay.protocol.filters import Filter

FULL_SHARES = 8
"""Up to this many filters of a REQ may each read as much as a filter alone; more share that. Applications send up to
ten; to a key there may be 20,000 private messages since its newest mention.
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the statement of a REQ may read and return for each filter; tests make it small."""

    walks: int = 24
    """With more walks one scan with lists is cheaper (measured at 20 thousand and 2 million events)."""

    walk_rows: int = 4_000
    """Events looked at by all walks of one filter whose other conditions may drop them: up to 30 ms."""

    most_rows: int = 100_000
    """Entries read by many walks at most, each of which could fill the limit alone; and by a scan of an index alone."""

    recent_rows: int = 8
    """The newest events looked at for many authors in place of one walk: as many as cost the same."""

    first_rows: int = 3
    """Entries of each of many authors that are read first."""

    most_walks: int = 20_000
    """Pairs of an author and a kind that are walked; more are only searched for among the newest events."""

    text_bytes: int = 1_048_576
    """Texts returned by the statement of a REQ; of the other rows only the key is."""

    def of_each(self, filters: int) -> "Bounds":
        """The bounds of each filter of one statement: together they may read as much as FULL_SHARES filters alone."""
        if filters <= FULL_SHARES:
            return self
        rows, entries = self.walk_rows * FULL_SHARES // filters, self.most_rows * FULL_SHARES // filters
        return replace(self, walk_rows=rows, most_rows=entries)

    def share(self, walks: int, wanted: int, cost: int = 1) -> int:
        """The entries that one of `walks` walks may read. A power of two, so that fewer statements are prepared."""
        share = max(self.walk_rows // (walks * cost), min(wanted, self.most_rows // (walks * cost)), 1)
        return 1 << (share - 1).bit_length()


BOUNDS = Bounds()

SPECIFIC_TAGS = frozenset("aeiqAEI")
"""Tags that identify one thing, so few events share a value; values of others may be on any number of events."""


def rows_wanted(flt: Filter) -> int:
    """How many rows to fetch: the limit, or twice the relay's own default, so that the boundary second is whole
    (01-F18), and one more, which is not sent: it tells that there are more (67-1).
    """
    return (flt.limit * 2 if flt.capped else flt.limit) + 1

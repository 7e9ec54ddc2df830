"""The shape of the rows that walks return, and their order: what all sources of rows have in common."""

from enum import Enum
from typing import NamedTuple

ORDER = "ORDER BY e.created_at DESC, e.id"

END_TIME = -1
"""The time of an end, which sorts it last."""

PARTITIONED = "(SELECT c.relkind = 'p' FROM pg_class AS c WHERE c.oid = 'relay_event'::regclass)"
"""Whether the store is divided by time; found out by the statement, since it may be divided at any moment."""


class Rows(NamedTuple):
    """SQL of the rows of a filter, newest first, at least `rows_wanted`."""

    sql: str
    """SELECT of (created_at, id, json); `json` is null in a mark and in an end."""

    most: int
    """Rows returned at most."""

    has_end: bool = False
    """One walk, which returns an end unless it stops at its bound."""

    is_ordered: bool = False
    """They come in their order without being sorted."""


class At(Enum):
    """What finds the text of a row: the text itself, the place of its row, or, after an index alone, its id."""

    TEXT = "e.json"
    PLACE = "e.ctid"
    ID = "e.id"

"""Turns the filters of a REQ into one statement, whose answer is bounded in bytes, and reads its rows.

Rule: the statement contains every condition of the filter and the one visibility predicate; which index it walks
changes its cost, never its rows (relay.storage.filter_walks).
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from relay.protocol.audience import NOBODY, Audience
from relay.protocol.filters import Filter
from relay.protocol.visibility import can_match
from relay.storage.filter_walks import BOUNDS, ORDER, Bounds, Walks, rows_wanted
from relay.storage.visibility_sql import hex_array, readable, unexpired

MARK = b"!"
"""The line of an answer where a walk stopped at its bound: what sorts below it is not known."""

LEAST_TEXT_BYTES = 65_536
"""Texts returned for each filter, however many filters there are."""


class Statement:
    """Text with numbered parameters, and the parameters, of one REQ."""

    __slots__ = ("parameters", "text")

    def __init__(self, text: str, parameters: Sequence[Any]) -> None:
        self.text = text
        self.parameters = parameters


class Key(Struct, frozen=True, gc=False):
    """A row of an answer whose text was not fetched yet. `id`: 64 hex digits; `size`: bytes of the text."""

    id: bytes
    created_at: int
    size: int

    @classmethod
    def of(cls, line: bytes) -> "Key":
        """The key in a line of an answer."""
        event_id, created_at, size = line.split(b" ")
        return cls(event_id, int(created_at), int(size))


POSITION = "coalesce((SELECT c.seq FROM relay_change AS c ORDER BY c.seq DESC LIMIT 1), 0)"
"""The newest number of the log in the snapshot of the statement."""

_LINES = f"E'\\n' {ORDER}"


def query_statement(
    filters: Sequence[Filter], now: int, audience: Audience = NOBODY, bounds: Bounds = BOUNDS, *, second: bool = False
) -> Statement:
    """The statement that answers `filters` for `audience` at one position, in one row.

    The first column is the position. Then follows a column for each filter (`needs_query` must be True for all): its
    rows newest first as lines, null without a match. The first lines are JSON texts, as long as they fit into
    `bounds.text_bytes`, which all filters share; the others are keys ("<id> <created_at> <bytes>"), or MARK. One value
    costs the client a fraction of a row for each event, and JSON text holds no line feed. The size of a text is known
    without reading it. `second`: walk other indexes, because MARK was in the first answer. `now` (Unix seconds) decides
    what has expired.
    """
    walks = Walks(now, audience, bounds, second)
    most = max(bounds.text_bytes // max(1, len(filters)), min(LEAST_TEXT_BYTES, bounds.text_bytes))
    line = (
        f"CASE WHEN e.json IS NULL THEN '{MARK.decode()}' WHEN e.total <= {most} THEN e.json "
        "ELSE encode(e.id, 'hex') || ' ' || e.created_at || ' ' || octet_length(e.json) END"
    )
    total = f"coalesce(sum(octet_length(e.json)) OVER ({ORDER} ROWS UNBOUNDED PRECEDING), 0)"
    columns = [
        f"(SELECT string_agg({line}, {_LINES}) FROM (SELECT e.*, {total} AS total FROM ({walks.texts(flt)}) AS e) AS e)"
        for flt in filters
    ]
    return Statement("SELECT " + ", ".join([POSITION, *columns]), walks.parameters)


def texts_statement(ids: Sequence[bytes], now: int, audience: Audience = NOBODY) -> Statement:
    """The statement for the texts of some events, as lines in one value after the position; null without any.

    Events that were removed or have expired are absent, and those that `audience` may not read.
    """
    walks = Walks(now, audience, BOUNDS)
    listed = walks.bind(hex_array([event_id.decode() for event_id in ids]), "bytea[]")
    where = f"e.id = ANY ({listed}) AND {readable(audience, walks.bind)} AND {unexpired(now, walks.bind)}"
    return Statement(
        f"SELECT {POSITION}, (SELECT string_agg(e.json, E'\\n') FROM relay_event AS e WHERE {where})", walks.parameters
    )


def needs_query(flt: Filter, audience: Audience = NOBODY) -> bool:
    """False if the filter cannot match any stored event that `audience` may read."""
    return flt.limit > 0 and can_match(flt, audience)


__all__ = ["BOUNDS", "MARK", "POSITION", "Bounds", "Key", "Statement", "needs_query", "query_statement", "rows_wanted"]

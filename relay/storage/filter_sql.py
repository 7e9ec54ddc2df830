"""Turns the filters of a REQ into one statement, whose answer is bounded in bytes, and reads its rows.

Rule: the statement contains every condition of the filter and the one visibility predicate; which index it walks
changes its cost, never its rows (relay.storage.filter_walks).
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.filters import Filter
from relay.protocol.visibility import can_match
from relay.storage.filter_walks import Walks
from relay.storage.visibility_sql import PURGING, hex_array, readable, unexpired
from relay.storage.walk_bounds import BOUNDS, Bounds, rows_wanted
from relay.storage.walk_rows import ORDER, Rows

MARK = b"!"
"""The line of an answer where a walk stopped at its bound: what sorts below it is not known."""

END = b"."
"""The line after the last row of a walk that could have stopped at its bound and did not."""

LARGE = b"?"
"""In place of the rows of a filter: their texts are too many bytes, ask for keys."""

LEAST_TEXT_BYTES = 65_536
"""Texts returned for each filter, however many filters there are."""

JOINED_BYTES = 16_777_216
"""Texts that a statement without keys may join in PostgreSQL's memory before their sum is known."""

LEAST_JOINED_BYTES = 4_096
"""If not even events of this size may be joined, keys are asked for at once."""


class Statement:
    """Text with numbered parameters, and the parameters, of one REQ. `ends`: for each filter, whether END may come."""

    __slots__ = ("ends", "parameters", "text")

    def __init__(self, text: str, parameters: Sequence[Any], ends: Sequence[bool] = ()) -> None:
        self.text = text
        self.parameters = parameters
        self.ends = ends


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

VANISHING = f"(EXISTS (SELECT FROM relay_vanish_pending) OR {PURGING})"
"""True in the snapshot of the statement if rows that a request to vanish or retention hides are still to be removed."""


def query_statement(
    filters: Sequence[Filter],
    now: int,
    audience: Audience = ANONYMOUS,
    bounds: Bounds = BOUNDS,
    *,
    second: bool = False,
    keyed: bool = False,
    vanishing: bool = True,
) -> Statement:
    """The statement that answers `filters` for `audience` at one position, in one row.

    The first column is the position, the second VANISHING: if it is true, the answer holds only if `vanishing` was.
    Then follows a column for each filter (`needs_query` must be True for all): its rows newest first as lines, null
    without a match, LARGE if their texts are more than `bounds.text_bytes`, which all filters share. A line is a JSON
    text, MARK, or END, which comes last. One value costs the client a fraction of a row for each event, and JSON text
    holds no line feed. `now` (Unix seconds) decides what has expired.

    `keyed`: the first lines are texts, as long as they fit, the others are keys ("<id> <created_at> <bytes>"). That
    takes a running total, which costs half as much again for each row. `second`: walk other indexes, because the first
    answer stopped at a bound.
    """
    walks = Walks(now, audience, bounds, second, vanishing, len(filters))
    if len(filters) == 1:
        most, found = bounds.text_bytes, [walks.texts(filters[0])]
        count = found[0].most
    else:
        most = max(bounds.text_bytes // max(1, len(filters)), min(LEAST_TEXT_BYTES, bounds.text_bytes))
        found = [walks.texts(flt) for flt in filters]
        count = sum([rows.most for rows in found]) or 1
    joined = 1 << (JOINED_BYTES // count).bit_length() - 1  # of few sizes, so that few statements are prepared
    if keyed or joined < min(LEAST_JOINED_BYTES, most):
        columns = [_keyed(rows, most) for rows in found]
    else:
        columns = [_joined(rows, most, joined) for rows in found]
    return Statement(", ".join([_SELECT, *columns]), walks.parameters, [rows.has_end for rows in found])


_SELECT = f"SELECT {POSITION}, {VANISHING}"
_LARGE = LARGE.decode()
_ORDERED = f" {ORDER}"
_NO_TEXT = f"WHEN e.id IS NULL THEN '{END.decode()}' WHEN e.json IS NULL THEN '{MARK.decode()}'"


def _joined(rows: Rows, most: int, largest: int) -> str:
    """Texts alone. The size of a text is known without reading it, so none above `largest` bytes is read."""
    order = "" if rows.is_ordered else _ORDERED
    is_large = f"sum(octet_length(e.json)) > {most}"
    if largest < most:
        is_large += f" OR max(octet_length(e.json)) > {largest}"
    else:
        largest = most
    line = f"CASE WHEN octet_length(e.json) <= {largest} THEN e.json {_NO_TEXT} END"
    texts = f"string_agg({line}, E'\\n'{order})"
    return f"(SELECT CASE WHEN {is_large} THEN '{_LARGE}' ELSE {texts} END FROM ({rows.sql}) AS e)"


def _keyed(rows: Rows, most: int) -> str:
    """Texts up to `most` bytes, then keys."""
    line = (
        f"CASE {_NO_TEXT} WHEN e.total <= {most} THEN e.json "
        "ELSE encode(e.id, 'hex') || ' ' || e.created_at || ' ' || octet_length(e.json) END"
    )
    total = f"coalesce(sum(octet_length(e.json)) OVER ({ORDER} ROWS UNBOUNDED PRECEDING), 0)"
    return (
        f"(SELECT string_agg({line}, E'\\n' {ORDER}) FROM (SELECT e.*, {total} AS total FROM ({rows.sql}) AS e) AS e)"
    )


def texts_statement(ids: Sequence[bytes], now: int, audience: Audience = ANONYMOUS) -> Statement:
    """The statement for the texts of some events, as lines in one value after the position; null without any.

    Events that were removed or have expired are absent, and those that `audience` may not read.
    """
    walks = Walks(now, audience, BOUNDS)
    listed = walks.bind(hex_array([event_id.decode() for event_id in ids]), "bytea[]")
    where = f"e.id = ANY ({listed}) AND {readable(audience, walks.bind)} AND {unexpired(now, walks.bind)}"
    return Statement(
        f"SELECT {POSITION}, (SELECT string_agg(e.json, E'\\n') FROM relay_event AS e WHERE {where})", walks.parameters
    )


def needs_query(flt: Filter, audience: Audience = ANONYMOUS) -> bool:
    """False if the filter cannot match any stored event that `audience` may read."""
    return flt.limit > 0 and can_match(flt, audience)


__all__ = [
    "BOUNDS",
    "END",
    "LARGE",
    "MARK",
    "POSITION",
    "Bounds",
    "Key",
    "Statement",
    "needs_query",
    "query_statement",
    "rows_wanted",
]

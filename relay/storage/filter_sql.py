"""Turns the filters of a REQ into one statement, whose answer is bounded in bytes, and reads its rows.

Rule: the statement contains every condition of the filter and the one visibility predicate; which index it walks
changes its cost, never its rows (relay.storage.filter_walks).
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.filters import Filter
from relay.protocol.visibility import all_public, can_match
from relay.storage.filter_walks import Walks
from relay.storage.tag_feed_walks import is_tag_feed
from relay.storage.visibility_sql import PURGING, hex_array, readable, setting, unexpired
from relay.storage.walk_bounds import BOUNDS, Bounds, rows_wanted
from relay.storage.walk_conditions import Conditions, Source
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

MAX_TEMPLATES = 1_000
"""Texts of statements that are kept, because making one takes 10 to 60 us. When there are as many, all are dropped."""

MAX_TEMPLATE_CHARACTERS = 16_384
"""A longer text is not kept: a REQ of many filters with all tags that there are has one of 0.5 MB."""


class Statement:
    """Text with numbered parameters, and the parameters, of one REQ. `ends`: for each filter, whether END may come.

    `rest`: the text without position and VANISHING, for a snapshot of which they are known; "" if nothing is left.
    """

    __slots__ = ("ends", "parameters", "rest", "text")

    def __init__(self, text: str, parameters: Sequence[Any], ends: Sequence[bool] = (), rest: str = "") -> None:
        self.text = text
        self.parameters = parameters
        self.ends = ends
        self.rest = rest


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
    attempt: int = 0,
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
    takes a running total, which costs half as much again for each row. `attempt`: walk other indexes, because the
    answer of the one before stopped at a bound; below `attempts(filters)`.
    """
    if audience:
        made = _template(filters, audience, bounds, attempt=attempt, keyed=keyed, vanishing=vanishing)
        return made.statement(filters, now)
    # What is private by a setting is in the text too.
    key = (*map(_shape, filters), attempt, keyed, vanishing, bounds, setting())
    template = _templates.get(key)
    if template is None:
        template = _template(filters, audience, bounds, attempt=attempt, keyed=keyed, vanishing=vanishing)
        if len(template.text) <= MAX_TEMPLATE_CHARACTERS:
            if len(_templates) >= MAX_TEMPLATES:
                _templates.clear()
            _templates[key] = template
    return template.statement(filters, now)


class Template(Struct, frozen=True, gc=False):
    """The text of a statement for any filters of the same shapes, and where its parameters come from."""

    text: str
    rest: str
    sources: Sequence[Source]
    ends: Sequence[bool]

    def statement(self, filters: Sequence[Filter], now: int) -> Statement:
        """The statement for these filters."""
        return Statement(self.text, [source(filters, now) for source in self.sources], self.ends, self.rest)


_templates: dict[tuple[object, ...], Template] = {}


def _shape(flt: Filter) -> tuple[object, ...]:
    """All of a filter that its text depends on: which conditions it has, and how many values are in its lists."""
    ids, authors, kinds = flt.ids, flt.authors, flt.kinds
    return (
        None if ids is None else len(ids),
        None if authors is None else len(authors),
        None if kinds is None else len(kinds),
        all_public(kinds),
        flt.since is None,
        flt.until is None,
        flt.limit,
        flt.capped,
        *[(letter, len(values)) for letter, values in flt.tags],
    )


def _template(
    filters: Sequence[Filter], audience: Audience, bounds: Bounds, *, attempt: int, keyed: bool, vanishing: bool
) -> Template:
    walks = Walks(audience, bounds, attempt, vanishing, len(filters))
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
    text, rest = ", ".join([_SELECT, *columns]), f"SELECT {', '.join(columns)}" if columns else ""
    return Template(text, rest, walks.sources, [rows.has_end for rows in found])


_SELECT = f"SELECT {POSITION}, {VANISHING}"
SHARED_COLUMNS = 2
"""The columns of a query that are the same for all queries of one snapshot: position and VANISHING."""

_LARGE = LARGE.decode()
_ORDERED = f" {ORDER}"
_NO_TEXT = f"WHEN e.id IS NULL THEN '{END.decode()}' WHEN e.json IS NULL THEN '{MARK.decode()}'"


def _joined(rows: Rows, most: int, largest: int) -> str:
    """Texts alone. The size of a text is known without reading it, so none above `largest` bytes is read."""
    if rows.most == 1 and not rows.has_end:  # an event by id: without an aggregate it costs 15 us less
        return (
            f"(SELECT CASE WHEN octet_length(e.json) > {most} THEN '{_LARGE}' ELSE e.json END FROM ({rows.sql}) AS e)"
        )
    order, largest = "" if rows.is_ordered else _ORDERED, min(largest, most)
    line = f"CASE WHEN octet_length(e.json) <= {largest} THEN e.json {_NO_TEXT} END"
    texts = f"string_agg({line}, E'\\n'{order})"
    return (
        f"(SELECT CASE WHEN max(octet_length(e.json)) > {largest} OR octet_length({texts}) > {most} THEN '{_LARGE}' "
        f"ELSE {texts} END FROM ({rows.sql}) AS e)"
    )


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
    conditions = Conditions(audience)
    listed = conditions.bind(hex_array([event_id.decode() for event_id in ids]), "bytea[]")
    where = f"e.id = ANY ({listed}) AND {readable(audience, conditions.bind)} AND {unexpired(now, conditions.bind)}"
    text = f"SELECT {POSITION}, (SELECT string_agg(e.json, E'\\n') FROM relay_event AS e WHERE {where})"
    return Statement(text, [source((), now) for source in conditions.sources])


def attempts(filters: Sequence[Filter], audience: Audience = ANONYMOUS) -> int:
    """How many statements may be tried for a query whose walks stop at their bounds."""
    return 3 if any(is_tag_feed(flt, audience) for flt in filters) else 2


def needs_query(flt: Filter, audience: Audience = ANONYMOUS) -> bool:
    """False if the filter cannot match any stored event that `audience` may read."""
    return flt.limit > 0 and can_match(flt, audience)


__all__ = [
    "BOUNDS",
    "END",
    "LARGE",
    "MARK",
    "POSITION",
    "SHARED_COLUMNS",
    "Bounds",
    "Key",
    "Statement",
    "attempts",
    "needs_query",
    "query_statement",
    "rows_wanted",
]

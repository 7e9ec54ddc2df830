"""Turns filters into SQL that walks an index newest first and stops at the limit.

Rule: the statement contains every condition of the filter and the one visibility predicate; which index it walks
changes its cost, never its rows. Short lists become one ordered walk for each value and a merge, because PostgreSQL
sorts every match of `column = ANY (...)` before it can return the newest.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from relay.models import tag_key
from relay.protocol.audience import NOBODY, Audience
from relay.protocol.filters import Filter
from relay.protocol.visibility import can_match
from relay.storage.visibility_sql import bytea_array, hex_array, readable, unexpired

MAX_WALKS = 24
"""Above so many walks one scan with lists is cheaper (measured at 20 thousand and 2 million events)."""

RECENT_ROWS = 5_000
"""The newest events searched for a list of many authors before each author is walked."""

SPECIFIC_TAGS = frozenset("aeiqAEI")
"""Tags that identify one thing, so few events share a value; values of others may be on any number of events."""

_ORDER = "ORDER BY e.created_at DESC, e.id"


class Statement:
    """Text with numbered parameters, and the parameters, of one REQ."""

    __slots__ = ("parameters", "text")

    def __init__(self, text: str, parameters: Sequence[Any]) -> None:
        self.text = text
        self.parameters = parameters


def rows_wanted(flt: Filter) -> int:
    """How many rows to fetch: the limit, or twice the relay's own cap, so that the boundary second is whole
    (01-F18).
    """
    return flt.limit * 2 if flt.capped else flt.limit


POSITION = "coalesce((SELECT c.seq FROM relay_change AS c ORDER BY c.seq DESC LIMIT 1), 0)"
"""The newest number of the log in the snapshot of the statement."""


def query_statement(filters: Sequence[Filter], now: int, audience: Audience = NOBODY) -> Statement:
    """The statement that answers `filters` for `audience` at one position, in one row.

    The first column is the position. Then follows a column for each filter (`needs_query` must be True for all): the
    matching JSON texts newest first, separated by line feeds, null without a match. One value costs the client a
    fraction of a row for each event, and JSON text holds no line feed. `now` (Unix seconds) decides what has expired.
    """
    build = _Builder(now, audience)
    columns = [
        "(SELECT string_agg(e.json, E'\\n' ORDER BY e.created_at DESC, e.id) "
        f"FROM (SELECT e.* FROM ({build.rows(flt)}) AS e {_ORDER} LIMIT {rows_wanted(flt)}) AS e)"
        for flt in filters
    ]
    return Statement("SELECT " + ", ".join([POSITION, *columns]), build.parameters)


def needs_query(flt: Filter, audience: Audience = NOBODY) -> bool:
    """False if the filter cannot match any stored event that `audience` may read."""
    return flt.limit > 0 and can_match(flt, audience)


class _Builder:
    """Collects the parameters of one statement."""

    def __init__(self, now: int, audience: Audience) -> None:
        self.parameters: list[Any] = []
        self._now = now
        self._audience = audience

    def _bind(self, value: Any, kind: str) -> str:
        self.parameters.append(value)
        return f"${len(self.parameters)}::{kind}"

    def rows(self, flt: Filter) -> str:  # noqa: PLR0911 - one step out for each way, the choice in one place
        """The rows of one filter, each once, at least the newest `rows_wanted`; unordered."""
        if flt.ids is not None:
            return self._scan(flt, [f"e.id = ANY ({self._bind(hex_array(flt.ids), 'bytea[]')})"], skip="ids")
        authors, kinds = flt.authors, flt.kinds
        pairs = len(authors or "*") * len(kinds or "*")
        if flt.tags and not (
            authors is not None and pairs <= MAX_WALKS and SPECIFIC_TAGS.isdisjoint(x for x, _ in flt.tags)
        ):
            return self._tag_walks(flt)
        if authors is None and kinds is None:
            return self._scan(flt, [], skip="")
        if authors is None and pairs > MAX_WALKS:
            return self._scan(flt, [self._any_kind(flt)], skip="kinds")
        if pairs == 1:
            return self._one_walk(flt)
        if pairs <= MAX_WALKS:
            return self._walks(flt)
        return self._newest_of_many(flt)

    def _any_kind(self, flt: Filter) -> str:
        return f"e.kind = ANY ({self._bind(_integers(flt.kinds or ()), 'integer[]')})"

    def _one_walk(self, flt: Filter) -> str:
        """One author, one kind, or one author's events of one kind: the order of one index."""
        driving = []
        if flt.authors is not None:
            driving.append(f"e.pubkey = {self._bind(bytes.fromhex(next(iter(flt.authors))), 'bytea')}")
        if flt.kinds is not None:
            driving.append(f"e.kind = {self._bind(next(iter(flt.kinds)), 'integer')}")
        return self._scan(flt, driving, skip="authors kinds")

    def _walks(self, flt: Filter) -> str:
        """An ordered walk for each author, each kind, or each pair of them."""
        sets, joins = [], []
        if flt.authors is not None:
            sets.append(f"({self._authors(flt)}) AS w")
            joins.append("e.pubkey = w.a")
        if flt.kinds is not None:
            sets.append(f"unnest({self._bind(_integers(flt.kinds), 'integer[]')}) AS v (k)")
            joins.append("e.kind = v.k")
        values = " CROSS JOIN ".join(sets)
        return f"SELECT e.* FROM {values} CROSS JOIN LATERAL ({self._scan(flt, joins, skip='authors kinds')}) AS e"

    def _authors(self, flt: Filter) -> str:
        """The authors as rows, from one value of 32 bytes each: cheaper to send and parse than an array."""
        packed = self._bind(bytes.fromhex("".join(flt.authors or ())), "bytea")
        return f"SELECT substr({packed}, 32 * g - 31, 32) AS a FROM generate_series(1, length({packed}) / 32) AS g"

    def _newest_of_many(self, flt: Filter) -> str:
        """The newest events of many authors (a home feed), in two ways, of which the second runs only if the first
        falls short.

        If the authors write often, they are found among the newest RECENT_ROWS events. Otherwise each author is walked.
        The hashed look-up is a sub-plan, which keeps the order of the index, and reads only columns of the index: texts
        are fetched for the rows found.
        """
        wanted = rows_wanted(flt)
        window = " AND ".join(self._window(flt, "e")) or "true"
        among = [f"(e.pubkey IN ({self._authors(flt)})) IS TRUE", *self._conditions(flt, "authors")]
        among += self._tag_conditions(flt.tags)
        recent = (
            "SELECT e.created_at, e.id FROM (SELECT e.created_at, e.id, e.pubkey, e.kind, e.expires_at "
            f"FROM relay_event AS e WHERE {window} {_ORDER} LIMIT {RECENT_ROWS}) AS e "
            f"WHERE {' AND '.join(among)} {_ORDER} LIMIT {wanted}"
        )
        text = "SELECT t.json FROM relay_event AS t WHERE t.id = r.id OFFSET 0"
        return (
            f"WITH recent AS MATERIALIZED ({recent}) SELECT r.created_at, r.id, t.json "
            f"FROM recent AS r CROSS JOIN LATERAL ({text}) AS t WHERE (SELECT count(*) FROM recent) >= {wanted} "
            f"UNION ALL SELECT m.* FROM ({self._walks(flt)}) AS m WHERE (SELECT count(*) FROM recent) < {wanted}"
        )

    def _conditions(self, flt: Filter, skip: str) -> list[str]:
        """Every condition of the filter but those in `skip`, which the walked index fulfils, and the visibility."""
        out = [readable(self._audience, self._bind), unexpired(self._now, self._bind)]
        if flt.ids is not None and "ids" not in skip:
            out.append(f"e.id = ANY ({self._bind(hex_array(flt.ids), 'bytea[]')})")
        if flt.authors is not None and "authors" not in skip:
            out.append(f"e.pubkey = ANY ({self._bind(hex_array(flt.authors), 'bytea[]')})")
        if flt.kinds is not None and "kinds" not in skip:
            out.append(f"e.kind = ANY ({self._bind(_integers(flt.kinds), 'integer[]')})")
        return out

    def _window(self, flt: Filter, alias: str) -> list[str]:
        out = []
        if flt.since is not None:
            out.append(f"{alias}.created_at >= {self._bind(flt.since, 'bigint')}")
        if flt.until is not None:
            out.append(f"{alias}.created_at <= {self._bind(flt.until, 'bigint')}")
        return out

    def _tag_conditions(self, tags: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
        return [
            "EXISTS (SELECT FROM relay_tag AS o WHERE o.event_id = e.id AND o.created_at = e.created_at "
            f"AND o.key = ANY ({self._bind(bytea_array([tag_key(key) for key in keys]), 'bytea[]')}))"
            for _, keys in tags
        ]

    def _scan(self, flt: Filter, driving: list[str], skip: str) -> str:
        where = [*driving, *self._conditions(flt, skip), *self._window(flt, "e"), *self._tag_conditions(flt.tags)]
        return (
            f"SELECT e.created_at, e.id, e.json FROM relay_event AS e WHERE {' AND '.join(where)} "
            f"{_ORDER} LIMIT {rows_wanted(flt)}"
        )

    def _tag_walks(self, flt: Filter) -> str:
        """Walk the tag with the fewest values newest first; other tags are checked for each event."""
        tags = walked_first(flt.tags)
        keys = self._bind(bytea_array([tag_key(key) for key in tags[0][1]]), "bytea[]")
        where = [
            "e.id = t.event_id",
            *self._window(flt, "t"),
            *self._conditions(flt, "kinds"),
            *self._tag_conditions(tags[1:]),
        ]
        if flt.kinds is not None:
            where.append(f"t.kind = ANY ({self._bind(_integers(flt.kinds), 'integer[]')})")
        rows = (
            "SELECT e.created_at, e.id, e.json FROM relay_tag AS t JOIN relay_event AS e ON true WHERE t.key = {key} "
            f"AND {' AND '.join(where)} ORDER BY t.created_at DESC, t.event_id LIMIT {rows_wanted(flt)}"
        )
        if len(tags[0][1]) == 1:
            return rows.format(key=f"(({keys})[1])")
        walk = rows.format(key="w.key")
        distinct = "SELECT DISTINCT ON (e.created_at, e.id) e.*"
        return f"{distinct} FROM unnest({keys}) AS w (key) CROSS JOIN LATERAL ({walk}) AS e"


def walked_first(tags: Iterable[tuple[str, frozenset[str]]]) -> list[tuple[str, frozenset[str]]]:
    """The tags of a filter with the one that is walked first: that with the fewest values."""
    return sorted(tags, key=lambda tag: (len(tag[1]), tag[0]))


def _integers(values: Iterable[int]) -> str:
    return "{" + ",".join(map(str, sorted(values) if isinstance(values, frozenset) else values)) + "}"

"""The rows of one filter as walks along indexes, newest first, each with a bound on the entries that it reads.

Rule: which walk is chosen changes the cost, never the answer. A walk whose rows other conditions may drop reads at most
so many entries of its index. One walk alone returns an *end*, a row without id, after its last entry: without an end
and with fewer rows than wanted it stopped at its bound. Numbering the entries would cost 0.4 us each, as much as the
text. Of several walks, each that stops ends with a *mark*, a row that stands where the walk stopped: what sorts before
the mark is known, the rest is not.

Every source of rows has the columns created_at, id and `at`, which is or finds the text and is null in a mark and an
end. What must be sorted are narrow rows, never texts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from relay.models import tag_key
from relay.protocol.audience import Audience
from relay.protocol.filters import Filter
from relay.protocol.visibility import all_public
from relay.storage.visibility_sql import PRESENT, bytea_array, hex_array, public, readable, unexpired

ORDER = "ORDER BY e.created_at DESC, e.id"

Tag = tuple[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the statement of a REQ may read and return for each filter; tests make it small."""

    walks: int = 24
    """Above so many walks one scan with lists is cheaper (measured at 20 thousand and 2 million events)."""

    walk_rows: int = 4_000
    """Events looked at by all walks of one filter whose other conditions may drop them: up to 30 ms."""

    most_rows: int = 100_000
    """Entries read by many walks at most, each of which could fill the limit alone; and by a scan of an index alone."""

    recent_rows: int = 5_000
    """The newest events searched for a list of many authors before each author is walked."""

    most_walks: int = 20_000
    """Pairs of an author and a kind that are walked; more are only searched for among the newest events."""

    text_bytes: int = 1_048_576
    """Texts returned by the statement of a REQ; of the other rows only the key is."""


BOUNDS = Bounds()


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


SPECIFIC_TAGS = frozenset("aeiqAEI")
"""Tags that identify one thing, so few events share a value; values of others may be on any number of events."""

_COMPARED_TAGS = 3
"""Tags of a filter whose number of events is compared to find the rarest."""

_COUNTED_ROWS = 2_000
"""Events counted for each of them, in the index alone: 0.15 ms."""

_LISTED = 24
"""Longer lists are looked up in a hash table: PostgreSQL compares one value after the other with an array."""


def rows_wanted(flt: Filter) -> int:
    """How many rows to fetch: the limit, or twice the relay's own default, so that the boundary second is whole
    (01-F18), and one more, which is not sent: it tells that there are more (67-1).
    """
    return (flt.limit * 2 if flt.capped else flt.limit) + 1


class Walks:
    """Collects the parameters of one statement, and makes the SQL of the rows of its filters."""

    def __init__(
        self, now: int, audience: Audience, bounds: Bounds, second: bool = False, vanishing: bool = True
    ) -> None:
        """`second`: the first attempt stopped at its bound, walk other indexes. `vanishing`: rows of keys that asked to
        vanish may still be there; the conditions that leave them out cost 15 us for each filter.
        """
        self.parameters: list[Any] = []
        self._now = now
        self._audience = audience
        self._bounds = bounds
        self._second = second
        self._vanishing = vanishing
        self._bound: dict[str, str] = {}

    def bind(self, value: Any, kind: str) -> str:
        """Add a parameter; returns its placeholder."""
        self.parameters.append(value)
        return f"${len(self.parameters)}::{kind}"

    def texts(self, flt: Filter) -> Rows:
        """The rows of a filter with their texts."""
        self._bound = {}
        wanted = rows_wanted(flt)
        if flt.ids is not None or self._is_exact(flt):
            return self._direct(flt)
        rows, at, has_end = self._rows(flt)
        if at is At.TEXT:
            return Rows(rows, wanted, has_end, is_ordered=True)
        found = "t.id = r.at" if at is At.ID else "t.ctid = r.at AND t.id = r.id"
        return Rows(
            f"SELECT r.created_at, r.id, t.json FROM (SELECT e.* FROM ({rows}) AS e {ORDER} LIMIT {wanted}) AS r "
            f"LEFT JOIN LATERAL (SELECT t.json FROM relay_event AS t WHERE {found} OFFSET 0) AS t ON true",
            wanted,
            has_end,
        )

    # -- Which way -----------------------------------------------------------------------------------------------------

    def _is_exact(self, flt: Filter) -> bool:
        """True for one walk that drops nothing but what has expired: it needs no bound."""
        return not flt.tags and self._pairs(flt) == 1 and all_public(flt.kinds)

    def _direct(self, flt: Filter) -> Rows:
        """One walk without a bound, or a look-up by id."""
        wanted = rows_wanted(flt)
        if flt.ids is not None:
            driving, skip = [f"e.id = ANY ({self.bind(hex_array(flt.ids), 'bytea[]')})"], ""
            most = min(wanted, len(flt.ids))
        else:
            driving, skip, most = self._one(flt), "authors kinds", wanted
        where = [*driving, *self._window(flt, "e"), *self._conditions(flt, skip)]
        return Rows(
            f"SELECT e.created_at, e.id, e.json FROM relay_event AS e WHERE {_all(where)} {ORDER} LIMIT {wanted}",
            most,
            False,
            True,
        )

    def _rows(self, flt: Filter) -> tuple[str, At, bool]:
        """The rows of a filter without ids, what their column `at` is, and whether they are one walk with an end."""
        named = flt.authors is not None or flt.kinds is not None
        pairs = self._pairs(flt)
        can_walk = named and pairs <= self._bounds.walks
        if flt.tags and not (can_walk and self._walks_before_tags(flt)):
            return self._tag_walks(flt)
        if can_walk and pairs == 1:
            share = self._share(1, rows_wanted(flt), _probes(flt))
            return self._walk(flt, self._one(flt), "authors kinds", share, At.TEXT), At.TEXT, True
        if can_walk:
            return self._walks(flt, At.PLACE), At.PLACE, False
        if not named and not self._second:
            return self._walk(flt, [], "", self._share(1, rows_wanted(flt)), At.TEXT), At.TEXT, True
        if flt.authors is None or pairs > self._bounds.most_walks:
            return self._walk(flt, [], "", self._bounds.most_rows, At.ID), At.ID, True
        return self._newest_of_many(flt), At.ID, False

    def _walks_before_tags(self, flt: Filter) -> bool:
        """Walk authors and kinds, and look for the tags of each event? The second attempt walks the other index."""
        if not SPECIFIC_TAGS.isdisjoint(letter for letter, _ in flt.tags):
            return False
        return (flt.authors is not None) is not self._second

    @staticmethod
    def _pairs(flt: Filter) -> int:
        if flt.authors is None and flt.kinds is None:
            return 0
        return len(flt.authors or "*") * len(flt.kinds or "*")

    def _share(self, walks: int, wanted: int, cost: int = 1) -> int:
        """The entries that one of `walks` walks may read. A power of two, so that fewer statements are prepared."""
        bounds = self._bounds
        share = max(bounds.walk_rows // (walks * cost), min(wanted, bounds.most_rows // (walks * cost)), 1)
        return 1 << (share - 1).bit_length()

    # -- Walks of relay_event ------------------------------------------------------------------------------------------

    def _one(self, flt: Filter) -> list[str]:
        """The conditions for one author, one kind, or one author's events of one kind: the order of one index."""
        driving = []
        if flt.authors is not None:
            driving.append(f"e.pubkey = {self._once('author', bytes.fromhex(next(iter(flt.authors))), 'bytea')}")
        if flt.kinds is not None:
            driving.append(f"e.kind = {self._once('kind', next(iter(flt.kinds)), 'integer')}")
        return driving

    def _walks(self, flt: Filter, at: At) -> str:
        """An ordered walk for each author, each kind, or each pair of them; each row once."""
        share = self._share(self._pairs(flt), rows_wanted(flt), _probes(flt))
        sets, joins = [], []
        if flt.authors is not None:
            sets.append(f"({self._authors(flt)}) AS w")
            joins.append("e.pubkey = w.a")
        if flt.kinds is not None:
            sets.append(f"unnest({self._kinds(flt)}) AS v (k)")
            joins.append("e.kind = v.k")
        walk = self._marked_walk(flt, joins, share, at)
        return f"SELECT e.* FROM {' CROSS JOIN '.join(sets)} CROSS JOIN LATERAL ({walk}) AS e"

    def _walk(self, flt: Filter, driving: list[str], skip: str, bound: int, at: At) -> str:
        """One walk of at most `bound` entries, and the end. PostgreSQL runs the parts of UNION ALL in their order."""
        walked = _all([*driving, *self._window(flt, "e")])
        name = "json" if at is At.TEXT else "at"
        return (
            f"SELECT e.created_at, e.id, e.{name} FROM (SELECT * FROM ("
            f"SELECT e.created_at, e.id, e.pubkey, e.kind, e.expires_at, {at.value} AS {name} "
            f"FROM relay_event AS e WHERE {walked} {ORDER} LIMIT {bound + 1}"
            f") AS e UNION ALL SELECT {_END}, NULL, NULL, NULL, NULL, NULL LIMIT {bound + 1}) AS e "
            f"WHERE e.id IS NULL OR ({_all(self._conditions(flt, skip))}) LIMIT {rows_wanted(flt)}"
        )

    def _marked_walk(self, flt: Filter, driving: list[str], bound: int, at: At) -> str:
        """One of several walks. It stops after `bound` entries with a mark, if it could read more than it returns."""
        wanted = rows_wanted(flt)
        walked = _all([*driving, *self._window(flt, "e")])
        conditions = self._conditions(flt, "authors kinds")
        if not flt.tags and all_public(flt.kinds) and bound >= wanted:
            return (
                f"SELECT e.created_at, e.id, {at.value} AS at FROM relay_event AS e "
                f"WHERE {walked} AND {_all(conditions)} {ORDER} LIMIT {wanted}"
            )
        return (
            f"SELECT e.created_at, e.id, CASE WHEN e.n <= {bound} THEN e.at END AS at FROM ("
            f"SELECT e.created_at, e.id, e.pubkey, e.kind, e.expires_at, {at.value} AS at, "
            f"row_number() OVER ({ORDER}) AS n FROM relay_event AS e WHERE {walked} {ORDER} LIMIT {bound + 1}) AS e "
            f"WHERE ({_all(conditions)}) OR e.n > {bound} {ORDER} LIMIT {wanted}"
        )

    def _newest_of_many(self, flt: Filter) -> str:
        """The newest events of many authors (a home feed), in two ways, of which the second runs only if the first
        falls short.

        If the authors write often, they are found among the newest events: ten for each walk, which cost as much as the
        walk. Otherwise each author is walked. The hashed look-up is a sub-plan, which keeps the order of the index, and
        reads only columns of the index.
        """
        bounds, wanted, pairs = self._bounds, rows_wanted(flt), self._pairs(flt)
        depth = max(bounds.recent_rows, min(1 << (10 * pairs).bit_length(), bounds.most_rows))
        recent = (
            "SELECT e.created_at, e.id, e.id AS at FROM (SELECT e.created_at, e.id, e.pubkey, e.kind, e.expires_at "
            f"FROM relay_event AS e WHERE {_all(self._window(flt, 'e'))} {ORDER} LIMIT {depth}) AS e "
            f"WHERE {_all(self._conditions(flt, ''))} {ORDER} LIMIT {wanted}"
        )
        return (
            f"WITH recent AS MATERIALIZED ({recent}) SELECT r.* FROM recent AS r "
            f"WHERE (SELECT count(*) FROM recent) >= {wanted} "
            f"UNION ALL SELECT m.* FROM ({self._walks(flt, At.ID)}) AS m "
            f"WHERE (SELECT count(*) FROM recent) < {wanted}"
        )

    # -- Walks of relay_tag --------------------------------------------------------------------------------------------

    def _tag_walks(self, flt: Filter) -> tuple[str, At, bool]:
        """Walk one tag newest first; other tags are checked for each event.

        With several tags the one on the fewest events is walked: they are counted in the index, up to a bound.
        """
        tags = sorted(flt.tags, key=lambda tag: (len(tag[1]), tag[0]))
        compared = tags[:_COMPARED_TAGS]
        is_one = len(compared[-1][1]) == 1
        at = At.TEXT if is_one else At.PLACE
        way = self._tag_walk if is_one else self._marked_tag_walks
        if len(tags) == 1:
            return way(flt, tags[0], []), at, is_one
        counts = [
            f"SELECT {number} AS n, (SELECT count(*) FROM (SELECT FROM relay_tag AS c WHERE c.key = ANY ("
            f"{self._tag_keys(tag)}) LIMIT {_COUNTED_ROWS}) AS c) AS events"
            for number, tag in enumerate(compared)
        ]
        rarest = (
            f"WITH rarest AS MATERIALIZED (SELECT c.n FROM ({' UNION ALL '.join(counts)}) AS c "
            "ORDER BY c.events, c.n LIMIT 1) "
        )
        ways = [way(flt, tag, [other for other in tags if other is not tag]) for tag in compared]
        chosen = [f"SELECT m.* FROM ({way}) AS m WHERE (SELECT n FROM rarest) = {n}" for n, way in enumerate(ways)]
        return rarest + " UNION ALL ".join(chosen), at, is_one

    def _tag_bounds(self, flt: Filter, tag: Tag, others: Sequence[Tag]) -> tuple[int, int]:
        """Events looked at, and entries read, by the walk of each value of a tag.

        Entries of other kinds cost little, so more of them are passed over: a flood of gift wraps to a key must not
        hide its mentions.
        """
        events = self._share(len(tag[1]), rows_wanted(flt), 1 + sum(len(values) for _, values in others))
        return events, max(events, 1 << (self._bounds.most_rows // len(tag[1])).bit_length() - 1)

    def _tag_walk(self, flt: Filter, tag: Tag, others: Sequence[Tag]) -> str:
        """The walk of the one value of a tag, and the end."""
        keys, kinds = self._tag_keys(tag), self._tag_kinds(flt)
        bound, most = self._tag_bounds(flt, tag, others)
        walked = " AND ".join([f"t.key = (({keys})[1])", *self._window(flt, "t")])
        where = ["e.id = t.event_id", *self._conditions(flt, "kinds tags"), *self._tag_conditions(others)]
        return (
            f"SELECT t.created_at, t.event_id AS id, e.json FROM (SELECT * FROM (SELECT * FROM ("
            f"SELECT t.created_at, t.event_id, t.kind FROM relay_tag AS t WHERE {walked} "
            f"ORDER BY t.created_at DESC, t.event_id LIMIT {most + 1}) AS t "
            f"UNION ALL SELECT {_END}, NULL, NULL LIMIT {most + 1}) AS t "
            f"WHERE t.event_id IS NULL OR {kinds} LIMIT {bound + 1}) AS t "
            f"LEFT JOIN LATERAL (SELECT e.json FROM relay_event AS e WHERE {_all(where)} OFFSET 0) AS e ON true "
            f"WHERE e.json IS NOT NULL OR t.event_id IS NULL LIMIT {rows_wanted(flt)}"
        )

    def _marked_tag_walks(self, flt: Filter, tag: Tag, others: Sequence[Tag]) -> str:
        """A walk of each value of a tag, each event once."""
        keys, wanted, kinds = self._tag_keys(tag), rows_wanted(flt), self._tag_kinds(flt)
        bound, most = self._tag_bounds(flt, tag, others)
        stop = f"(t.n > {most} OR t.events > {bound})"
        walked = " AND ".join(["t.key = w.key", *self._window(flt, "t")])
        order = "ORDER BY t.created_at DESC, t.event_id"
        entries = (
            "SELECT t.created_at, t.event_id, t.kind, row_number() OVER w AS n, "
            f"count(*) FILTER (WHERE {kinds}) OVER w AS events FROM relay_tag AS t WHERE {walked} "
            f"WINDOW w AS ({order} ROWS UNBOUNDED PRECEDING) {order} LIMIT {most + 1}"
        )
        where = ["e.id = t.event_id", kinds, f"NOT {stop}"]
        where += [*self._conditions(flt, "kinds tags"), *self._tag_conditions(others)]
        walk = (
            f"SELECT t.created_at, t.event_id AS id, e.at FROM ({entries}) AS t LEFT JOIN LATERAL "
            f"(SELECT e.ctid AS at FROM relay_event AS e WHERE {_all(where)} OFFSET 0) AS e ON true "
            f"WHERE e.at IS NOT NULL OR {stop} {order} LIMIT {wanted}"
        )
        # Of an event and a mark at its place the mark stays.
        return (
            "SELECT DISTINCT ON (e.created_at, e.id) e.created_at, e.id, e.at "
            f"FROM unnest({keys}) AS w (key) CROSS JOIN LATERAL ({walk}) AS e {ORDER}, e.at IS NOT NULL"
        )

    def _tag_kinds(self, flt: Filter) -> str:
        """The condition on the kind of an entry of relay_tag, so that events that cannot match are not looked at."""
        if flt.kinds is not None:
            return _listed("t.kind", self._kinds(flt), len(flt.kinds))
        return "true" if self._audience else public().replace("e.kind", "t.kind")

    # -- Conditions ----------------------------------------------------------------------------------------------------

    def _once(self, name: str, value: Any, kind: str) -> str:
        """Bind a value of this filter once, however often it is used."""
        if name not in self._bound:
            self._bound[name] = self.bind(value, kind)
        return self._bound[name]

    def _bind_now(self, value: Any, kind: str) -> str:
        return self._once("now", value, kind)

    def _kinds(self, flt: Filter) -> str:
        return self._once("kinds", "{" + ",".join(map(str, sorted(flt.kinds or ()))) + "}", "integer[]")

    def _authors(self, flt: Filter) -> str:
        """The authors as rows, from one value of 32 bytes each: cheaper to send and parse than an array."""
        packed = self._once("authors", bytes.fromhex("".join(flt.authors or ())), "bytea")
        return f"SELECT substr({packed}, 32 * g - 31, 32) AS a FROM generate_series(1, length({packed}) / 32) AS g"

    def _tag_keys(self, tag: Tag) -> str:
        letter, values = tag
        return self._once(f"#{letter}", bytea_array([tag_key(value) for value in values]), "bytea[]")

    def _window(self, flt: Filter, alias: str) -> list[str]:
        out = []
        if flt.since is not None:
            out.append(f"{alias}.created_at >= {self._once('since', flt.since, 'bigint')}")
        if flt.until is not None:
            out.append(f"{alias}.created_at <= {self._once('until', flt.until, 'bigint')}")
        return out

    def _conditions(self, flt: Filter, skip: str) -> list[str]:
        """Every condition on the row but those in `skip`, which the walked index fulfils, and the visibility."""
        is_public = all_public(flt.kinds)
        if self._vanishing or self._audience:
            out = [PRESENT if is_public else readable(self._audience, self.bind)]
        else:
            out = [] if is_public else [public()]
        out.append(unexpired(self._now, self._bind_now))
        if flt.authors is not None and "authors" not in skip:
            if len(flt.authors) > _LISTED:
                out.append(f"(e.pubkey IN ({self._authors(flt)})) IS TRUE")
            else:
                out.append(f"e.pubkey = ANY ({self._once('author list', hex_array(flt.authors), 'bytea[]')})")
        if flt.kinds is not None and "kinds" not in skip:
            out.append(_listed("e.kind", self._kinds(flt), len(flt.kinds)))
        return out if "tags" in skip else out + self._tag_conditions(flt.tags)

    def _tag_conditions(self, tags: Iterable[Tag]) -> list[str]:
        # Not EXISTS: PostgreSQL might read all events of a common tag into a hash table.
        return [
            "(SELECT true FROM relay_tag AS o WHERE o.event_id = e.id AND o.created_at = e.created_at "
            f"AND o.key = ANY ({self._tag_keys(tag)}) LIMIT 1)"
            for tag in tags
        ]


_END = -1
"""The time of an end, which sorts it last."""


def _probes(flt: Filter) -> int:
    """Look-ups for each event that a walk along relay_event looks at."""
    return 1 + sum(len(keys) for _, keys in flt.tags)


def _all(conditions: Sequence[str]) -> str:
    return " AND ".join(conditions) or "true"


def _listed(column: str, array: str, count: int) -> str:
    """The condition that a column has one of the `count` values of an array."""
    return f"({column} IN (SELECT unnest({array}))) IS TRUE" if count > _LISTED else f"{column} = ANY ({array})"

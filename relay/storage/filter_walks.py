"""The rows of one filter as walks along indexes, newest first, each with a bound on the entries that it reads.

Rule: which walk is chosen changes the cost, never the answer. A walk whose rows other conditions may drop reads at most
so many entries of its index; if it needs more, it ends with a *mark*, a row that stands where the walk stopped: what
sorts before the mark is known, the rest is not.

Every source of rows has the columns created_at, id and `at`, which is or finds the text and is null in a mark. What
must be sorted are narrow rows, never texts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

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

    def __init__(self, now: int, audience: Audience, bounds: Bounds, second: bool = False) -> None:
        self.parameters: list[Any] = []
        self._now = now
        self._audience = audience
        self._bounds = bounds
        self._second = second  # the first attempt stopped at its bound: walk other indexes
        self._bound: dict[str, str] = {}

    def bind(self, value: Any, kind: str) -> str:
        """Add a parameter; returns its placeholder."""
        self.parameters.append(value)
        return f"${len(self.parameters)}::{kind}"

    def texts(self, flt: Filter) -> str:
        """SELECT of (created_at, id, json), newest first, at least `rows_wanted`; `json` is null in a mark."""
        self._bound = {}
        wanted = rows_wanted(flt)
        direct = self._direct(flt)
        if direct is not None:
            return f"SELECT e.* FROM ({direct}) AS e {ORDER} LIMIT {wanted}"
        rows, at = self._rows(flt)
        if at is At.TEXT:
            return f"SELECT e.created_at, e.id, e.at AS json FROM ({rows}) AS e {ORDER} LIMIT {wanted}"
        found = "t.id = r.at" if at is At.ID else "t.ctid = r.at AND t.id = r.id"
        return (
            f"SELECT r.created_at, r.id, t.json FROM (SELECT e.* FROM ({rows}) AS e {ORDER} LIMIT {wanted}) AS r "
            f"LEFT JOIN LATERAL (SELECT t.json FROM relay_event AS t WHERE {found} OFFSET 0) AS t ON true"
        )

    # -- Which way -----------------------------------------------------------------------------------------------------

    def _direct(self, flt: Filter) -> str | None:
        """One walk that drops nothing but what has expired, or a look-up by id: no bound is needed."""
        if flt.ids is not None:
            driving, skip = [f"e.id = ANY ({self.bind(hex_array(flt.ids), 'bytea[]')})"], ""
        elif not flt.tags and self._pairs(flt) == 1 and all_public(flt.kinds):
            driving, skip = self._one(flt), "authors kinds"
        else:
            return None
        where = [*driving, *self._window(flt, "e"), *self._conditions(flt, skip)]
        return (
            f"SELECT e.created_at, e.id, e.json FROM relay_event AS e WHERE {_all(where)} "
            f"{ORDER} LIMIT {rows_wanted(flt)}"
        )

    def _rows(self, flt: Filter) -> tuple[str, At]:
        """The rows of a filter without ids, and what their column `at` is."""
        named = flt.authors is not None or flt.kinds is not None
        pairs = self._pairs(flt)
        can_walk = named and pairs <= self._bounds.walks
        if flt.tags and not (can_walk and self._walks_before_tags(flt)):
            return self._tag_walks(flt)
        if can_walk:
            at = At.TEXT if pairs == 1 else At.PLACE
            return self._walks(flt, at), at
        if flt.authors is None and flt.kinds is None and not self._second:
            return self._scan(flt, [], "", self._share(1, rows_wanted(flt)), At.TEXT), At.TEXT
        if flt.authors is None or pairs > self._bounds.most_walks:
            return self._scan(flt, [], "", self._bounds.most_rows, At.ID), At.ID
        return self._newest_of_many(flt), At.ID

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
        pairs, skip = self._pairs(flt), "authors kinds"
        probes = 1 + sum(len(keys) for _, keys in flt.tags)
        share = self._share(pairs, rows_wanted(flt), probes)
        if pairs == 1:
            return self._scan(flt, self._one(flt), skip, share, at)
        sets, joins = [], []
        if flt.authors is not None:
            sets.append(f"({self._authors(flt)}) AS w")
            joins.append("e.pubkey = w.a")
        if flt.kinds is not None:
            sets.append(f"unnest({self._kinds(flt)}) AS v (k)")
            joins.append("e.kind = v.k")
        walk = self._scan(flt, joins, skip, share, at)
        return f"SELECT e.* FROM {' CROSS JOIN '.join(sets)} CROSS JOIN LATERAL ({walk}) AS e"

    def _scan(self, flt: Filter, driving: list[str], skip: str, bound: int, at: At) -> str:
        """One walk. It stops after `bound` entries with a mark, if it could read more than it returns."""
        wanted = rows_wanted(flt)
        walked = _all([*driving, *self._window(flt, "e")])
        conditions = self._conditions(flt, skip)
        if skip and not flt.tags and all_public(flt.kinds) and bound >= wanted:
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

    def _tag_walks(self, flt: Filter) -> tuple[str, At]:
        """Walk one tag newest first; other tags are checked for each event.

        With several tags the one on the fewest events is walked: they are counted in the index, up to a bound.
        """
        tags = sorted(flt.tags, key=lambda tag: (len(tag[1]), tag[0]))
        if len(tags) == 1:
            at = At.TEXT if len(tags[0][1]) == 1 else At.PLACE
            return self._tag_walk(flt, tags[0], [], at), at
        compared = tags[:_COMPARED_TAGS]
        counts = [
            f"SELECT {number} AS n, (SELECT count(*) FROM (SELECT FROM relay_tag AS c WHERE c.key = ANY ("
            f"{self._tag_keys(tag)}) LIMIT {_COUNTED_ROWS}) AS c) AS events"
            for number, tag in enumerate(compared)
        ]
        rarest = (
            f"WITH rarest AS MATERIALIZED (SELECT c.n FROM ({' UNION ALL '.join(counts)}) AS c "
            "ORDER BY c.events, c.n LIMIT 1) "
        )
        ways = [self._tag_walk(flt, tag, [other for other in tags if other is not tag], At.PLACE) for tag in compared]
        chosen = [f"SELECT m.* FROM ({way}) AS m WHERE (SELECT n FROM rarest) = {n}" for n, way in enumerate(ways)]
        return rarest + " UNION ALL ".join(chosen), At.PLACE

    def _tag_walk(self, flt: Filter, tag: Tag, others: Sequence[Tag], at: At) -> str:
        keys, wanted, kinds = self._tag_keys(tag), rows_wanted(flt), self._tag_kinds(flt)
        bound = self._share(len(tag[1]), wanted, 1 + sum(len(values) for _, values in others))
        # Entries of other kinds cost little, so more of them are passed over: a flood of gift wraps to a key must not
        # hide its mentions.
        most = max(bound, 1 << (self._bounds.most_rows // len(tag[1])).bit_length() - 1)
        stop = f"(t.n > {most} OR t.events > {bound})"
        walked = " AND ".join(["t.key = {key}", *self._window(flt, "t")])
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
            f"(SELECT {at.value} AS at FROM relay_event AS e WHERE {_all(where)} OFFSET 0) AS e ON true "
            f"WHERE e.at IS NOT NULL OR {stop} {order} LIMIT {wanted}"
        )
        if len(tag[1]) == 1:
            return walk.format(key=f"(({keys})[1])")
        # Of an event and a mark at its place the mark stays.
        return (
            "SELECT DISTINCT ON (e.created_at, e.id) e.created_at, e.id, e.at "
            f"FROM unnest({keys}) AS w (key) CROSS JOIN LATERAL ({walk.format(key='w.key')}) AS e "
            f"{ORDER}, e.at IS NOT NULL"
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
        out = [unexpired(self._now, lambda value, kind: self._once("now", value, kind))]
        out.insert(0, PRESENT if all_public(flt.kinds) else readable(self._audience, self.bind))
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


def _all(conditions: Sequence[str]) -> str:
    return " AND ".join(conditions) or "true"


def _listed(column: str, array: str, count: int) -> str:
    """The condition that a column has one of the `count` values of an array."""
    return f"({column} IN (SELECT unnest({array}))) IS TRUE" if count > _LISTED else f"{column} = ANY ({array})"

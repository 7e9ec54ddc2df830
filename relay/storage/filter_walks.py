"""The rows of one filter as walks along indexes, newest first, each with a bound on the entries that it reads.

Rule: which walk is chosen changes the cost, never the answer. A walk whose rows other conditions may drop reads at most
so many entries of its index. One walk alone returns an *end*, a row without id, after its last entry: without an end
and with fewer rows than wanted it stopped at its bound. Numbering the entries would cost 0.4 us each, as much as the
text. Of several walks, each that stops ends with a *mark*, a row that stands where the walk stopped: what sorts before
the mark is known, the rest is not.

Every source of rows has the columns created_at, id and `at`, which is or finds the text and is null in a mark and an
end. What must be sorted are narrow rows, never texts.
"""

from relay.protocol.audience import Audience
from relay.protocol.filters import Filter
from relay.protocol.visibility import all_public
from relay.storage.feed_walks import FeedWalks
from relay.storage.tag_feed_walks import is_tag_feed
from relay.storage.walk_bounds import SPECIFIC_TAGS, Bounds, rows_wanted
from relay.storage.walk_conditions import all_of
from relay.storage.walk_rows import END_TIME, ORDER, PARTITIONED, At, Rows

_TEXTS = "SELECT e.created_at, e.id, e.json FROM relay_event AS e"


class Walks(FeedWalks):
    """Collects the parameters of one statement, and makes the SQL of the rows of its filters."""

    def __init__(
        self, audience: Audience, bounds: Bounds, attempt: int = 0, vanishing: bool = True, count: int = 1
    ) -> None:
        """`attempt`: above 0 the one before stopped at its bound, walk other indexes. `vanishing`: rows of keys that
        asked to vanish may still be there; the conditions that leave them out cost 15 us for each filter. `count`:
        filters of the statement.
        """
        super().__init__(audience, bounds.of_each(count), vanishing)
        self._alone = bounds
        self._attempt = attempt
        self._second = False

    def texts(self, flt: Filter) -> Rows:
        """The rows of a filter with their texts."""
        self.begin(flt)
        # An attempt more: few entries of each value, then each event looked at in the walks.
        self._second = self._attempt > is_tag_feed(flt, self._audience)
        wanted = rows_wanted(flt)
        if flt.ids is not None or self._is_exact(flt):
            return self._direct(flt)
        rows, at, has_end = self._rows(flt)
        if at is At.TEXT:
            return Rows(rows, wanted, has_end, is_ordered=True)
        found = "t.id = r.at" if at is At.ID else "t.ctid = r.at AND t.id = r.id"
        found += " AND t.created_at = r.created_at"  # so that one partition is looked at
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
        """One walk without a bound, or look-ups by id."""
        if flt.ids is not None:
            return self._by_ids(flt, len(flt.ids))
        most = rows_wanted(flt)
        where = [*self._one(flt), *self._window(flt, "e"), *self._conditions(flt, "authors kinds")]
        return Rows(f"{_TEXTS} WHERE {all_of(where)} {ORDER} LIMIT {most}", most, False, True)

    def _by_ids(self, flt: Filter, count: int) -> Rows:
        """Of partitions the newest is looked into first, and none after the one that has the event."""
        if count == 1:
            where = [f"e.id = {self._once('id', 'bytea')}", *self._window(flt, "e"), *self._conditions(flt, "")]
            return Rows(f"{_TEXTS} WHERE {all_of(where)} {ORDER} LIMIT 1", 1, False, True)
        most, wanted = rows_wanted(flt), self._once("ids", "bytea[]")
        where_all = all_of([*self._window(flt, "e"), *self._conditions(flt, "")])
        each = f"{_TEXTS} WHERE e.id = u.id AND {where_all} {ORDER} LIMIT 1"
        found = (
            f"{_TEXTS} WHERE e.id = ANY ({wanted}) AND {where_all} AND NOT {PARTITIONED} UNION ALL "
            f"SELECT e.* FROM unnest({wanted}) AS u (id) CROSS JOIN LATERAL ({each}) AS e WHERE {PARTITIONED}"
        )
        return Rows(f"SELECT e.* FROM ({found}) AS e {ORDER} LIMIT {most}", min(most, count), False, True)

    def _rows(self, flt: Filter) -> tuple[str, At, bool]:
        """The rows of a filter without ids, what their column `at` is, and whether they are one walk with an end."""
        named = flt.authors is not None or flt.kinds is not None
        pairs = self._pairs(flt)
        can_walk = named and pairs <= self._bounds.walks
        if flt.tags and not (can_walk and self._walks_before_tags(flt)):
            return self._by_tag(flt)
        if flt.tags and not self._second:
            return self._rare_tag_or_walks(flt)
        if can_walk:
            return self._few_walks(flt, pairs == 1)
        if not named and not self._second:
            return self._walk(flt, [], "", self._bounds.share(1, rows_wanted(flt)), At.TEXT), At.TEXT, True
        if pairs > self._bounds.most_walks or not named:
            return self._walk(flt, [], "", self._bounds.most_rows, At.ID), At.ID, True
        return self._many_walks(flt, pairs)

    def _by_tag(self, flt: Filter) -> tuple[str, At, bool]:
        if not self._attempt and is_tag_feed(flt, self._audience):
            return self._tag_feed(flt), At.TEXT, False
        return self._tag_walks(flt)

    def _walks_before_tags(self, flt: Filter) -> bool:
        """Walk authors and kinds, and look for the tags of each event? The second attempt walks the other index."""
        if not SPECIFIC_TAGS.isdisjoint(letter for letter, _ in flt.tags):
            return False
        return (flt.authors is not None) is not self._second

    def _rare_tag_or_walks(self, flt: Filter) -> tuple[str, At, bool]:
        """Walk authors and kinds, and look for the tags of each event, unless some tag is on few events.

        An unused value cost the look at 2,000 events of an author, 6 ms.
        """
        is_one = self._pairs(flt) == 1 and all(len(values) == 1 for _, values in flt.tags)
        by_tag, _, _ = self._tag_walks(flt, is_marked=not is_one)
        walks, at, _ = self._few_walks(flt, is_one)
        sql = (
            f"WITH few AS MATERIALIZED (SELECT {self._has_rare(flt.tags)} AS few) "
            f"SELECT m.* FROM ({by_tag}) AS m WHERE (SELECT few FROM few) "
            f"UNION ALL SELECT m.* FROM ({walks}) AS m WHERE NOT (SELECT few FROM few)"
        )
        return sql, at, is_one

    def _few_walks(self, flt: Filter, is_one: bool) -> tuple[str, At, bool]:
        """A walk of one author, one kind or one pair of them; or several, with marks."""
        if not is_one:
            return self._walks(flt, self._bounds, At.PLACE), At.PLACE, False
        share = self._bounds.share(1, rows_wanted(flt), _probes(flt))
        return self._walk(flt, self._one(flt), "authors kinds", share, At.TEXT), At.TEXT, True

    def _many_walks(self, flt: Filter, pairs: int) -> tuple[str, At, bool]:
        """The bounds are those of a filter alone: applications divide a long list of authors into filters."""
        if self._second:
            return self._walks(flt, self._alone, At.ID), At.ID, False
        return self._feed(flt, pairs, self._alone), At.TEXT, False

    @staticmethod
    def _pairs(flt: Filter) -> int:
        if flt.authors is None and flt.kinds is None:
            return 0
        return len(flt.authors or "*") * len(flt.kinds or "*")

    # -- Walks of relay_event ------------------------------------------------------------------------------------------

    def _one(self, flt: Filter) -> list[str]:
        """The conditions for one author, one kind, or one author's events of one kind: the order of one index."""
        driving = []
        if flt.authors is not None:
            driving.append(f"e.pubkey = {self._once('author', 'bytea')}")
        if flt.kinds is not None:
            driving.append(f"e.kind = {self._once('kind', 'integer')}")
        return driving

    def _walks(self, flt: Filter, bounds: Bounds, at: At) -> str:
        """An ordered walk for each author, each kind, or each pair of them; each row once."""
        share = bounds.share(self._pairs(flt), rows_wanted(flt), _probes(flt))
        sets, joins = [], []
        if flt.authors is not None:
            sets.append(f"({self._authors()}) AS w")
            joins.append("e.pubkey = w.a")
        if flt.kinds is not None:
            sets.append(f"unnest({self._kinds()}) AS v (k)")
            joins.append("e.kind = v.k")
            if flt.authors is None:
                # Asks for the row: PostgreSQL might look for each kind through relay_event_newest, which has the rest.
                joins.append("e.ctid <> '(0,0)'")
        walk = self._marked_walk(flt, joins, share, at)
        return f"SELECT e.* FROM {' CROSS JOIN '.join(sets)} CROSS JOIN LATERAL ({walk}) AS e"

    def _walk(self, flt: Filter, driving: list[str], skip: str, bound: int, at: At) -> str:
        """One walk of at most `bound` entries, and the end. PostgreSQL runs the parts of UNION ALL in their order."""
        walked = all_of([*driving, *self._window(flt, "e")])
        name = "json" if at is At.TEXT else "at"
        return (
            f"SELECT e.created_at, e.id, e.{name} FROM (SELECT * FROM ("
            f"SELECT e.created_at, e.id, e.pubkey, e.kind, e.expires_at, {at.value} AS {name} "
            f"FROM relay_event AS e WHERE {walked} {ORDER} LIMIT {bound + 1}"
            f") AS e UNION ALL SELECT {END_TIME}, NULL, NULL, NULL, NULL, NULL LIMIT {bound + 1}) AS e "
            f"WHERE e.id IS NULL OR ({all_of(self._conditions(flt, skip))}) LIMIT {rows_wanted(flt)}"
        )

    def _marked_walk(self, flt: Filter, driving: list[str], bound: int, at: At) -> str:
        """One of several walks. It stops after `bound` entries with a mark, if it could read more than it returns."""
        wanted = rows_wanted(flt)
        walked = all_of([*driving, *self._window(flt, "e")])
        conditions = self._conditions(flt, "authors kinds")
        if not flt.tags and all_public(flt.kinds) and bound >= wanted:
            return (
                f"SELECT e.created_at, e.id, {at.value} AS at FROM relay_event AS e "
                f"WHERE {walked} AND {all_of(conditions)} {ORDER} LIMIT {wanted}"
            )
        return (
            f"SELECT e.created_at, e.id, CASE WHEN e.n <= {bound} THEN e.at END AS at FROM ("
            f"SELECT e.created_at, e.id, e.pubkey, e.kind, e.expires_at, {at.value} AS at, "
            f"row_number() OVER ({ORDER}) AS n FROM relay_event AS e WHERE {walked} {ORDER} LIMIT {bound + 1}) AS e "
            f"WHERE ({all_of(conditions)}) OR e.n > {bound} {ORDER} LIMIT {wanted}"
        )


def _probes(flt: Filter) -> int:
    """Look-ups for each event that a walk along relay_event looks at."""
    return 1 + sum(len(keys) for _, keys in flt.tags)

"""Walks along the index of tags (relay_tag): of each value of one tag, newest first.

What a walk and its bound, end and mark are is said in `relay.storage.filter_walks`.
"""

from collections.abc import Sequence

from relay.protocol.audience import Audience
from relay.protocol.filters import Filter
from relay.storage.visibility_sql import public
from relay.storage.walk_bounds import Bounds, rows_wanted
from relay.storage.walk_conditions import Conditions, Tag, all_of, listed
from relay.storage.walk_rows import END_TIME, ORDER, At

_COMPARED_TAGS = 3
"""Tags of a filter whose number of events is compared to find the rarest."""

_FIRST_ROWS = 64
"""Events counted for each of them at first, in the index alone: 10 us."""

_COUNTED_ROWS = 2_000
"""Events counted for each of them if all have so many: 0.35 ms."""


class TagWalks(Conditions):
    """The walks of relay_tag in one statement."""

    def __init__(self, audience: Audience, bounds: Bounds, vanishing: bool = True) -> None:
        """The parameters are those of `Walks`."""
        super().__init__(audience, vanishing)
        self._bounds = bounds

    def _tag_walks(self, flt: Filter, is_marked: bool = False) -> tuple[str, At, bool]:
        """Walk one tag newest first; other tags are checked for each event.

        With several tags the one on the fewest events is walked: they are counted in the index, up to a bound.
        `is_marked`: with marks also for one value.
        """
        tags = sorted(flt.tags, key=lambda tag: (len(tag[1]), tag[0]))
        compared = tags[:_COMPARED_TAGS]
        is_one = len(compared[-1][1]) == 1 and not is_marked
        at = At.TEXT if is_one else At.PLACE
        way = self._tag_walk if is_one else self._marked_tag_walks
        if len(tags) == 1:
            return way(flt, tags[0], []), at, is_one
        rarest = self._rarest(compared)
        ways = [way(flt, tag, [other for other in tags if other is not tag]) for tag in compared]
        chosen = [f"SELECT m.* FROM ({way}) AS m WHERE (SELECT n FROM rarest) = {n}" for n, way in enumerate(ways)]
        return rarest + " UNION ALL ".join(chosen), at, is_one

    def _rarest(self, tags: Sequence[Tag]) -> str:
        """The CTE `rarest`: the number of the tag that is on the fewest events. Most often a short look tells."""
        first, all_ = (
            [self._counted(tag, _FIRST_ROWS) for tag in tags],
            [self._counted(tag, _COUNTED_ROWS) for tag in tags],
        )
        looks = " UNION ALL ".join([f"SELECT {n} AS n, {count} AS events" for n, count in enumerate(first)])
        counts = " ".join([f"WHEN {n} THEN {count}" for n, count in enumerate(all_)])
        return (
            f"WITH looks AS MATERIALIZED ({looks}), rarest AS MATERIALIZED (SELECT l.n FROM looks AS l ORDER BY "
            f"CASE WHEN (SELECT min(events) FROM looks) < {_FIRST_ROWS} THEN l.events ELSE CASE l.n {counts} END END, "
            "l.n LIMIT 1) "
        )

    def _has_rare(self, tags: Sequence[Tag]) -> str:
        """Whether one of the tags is on few events."""
        shortest = sorted(tags, key=lambda tag: len(tag[1]))[:_COMPARED_TAGS]
        return " OR ".join([f"{self._counted(tag, _FIRST_ROWS)} < {_FIRST_ROWS}" for tag in shortest])

    def _counted(self, tag: Tag, most: int) -> str:
        """The number of events that have a tag, up to `most`."""
        keys = self._tag_keys(tag)
        return f"(SELECT count(*) FROM (SELECT FROM relay_tag AS c WHERE c.key = ANY ({keys}) LIMIT {most}) AS c)"

    def _tag_bounds(self, flt: Filter, tag: Tag, others: Sequence[Tag]) -> tuple[int, int]:
        """Events looked at, and entries read, by the walk of each value of a tag.

        Entries of other kinds cost little, so more of them are passed over: a flood of gift wraps to a key must not
        hide its mentions.
        """
        events = self._bounds.share(len(tag[1]), rows_wanted(flt), 1 + sum(len(values) for _, values in others))
        return events, max(events, 1 << (self._bounds.most_rows // len(tag[1])).bit_length() - 1)

    def _tag_walk(self, flt: Filter, tag: Tag, others: Sequence[Tag]) -> str:
        """The walk of the one value of a tag, and the end."""
        keys, kinds = self._tag_keys(tag), self._tag_kinds(flt)
        bound, most = self._tag_bounds(flt, tag, others)
        walked = " AND ".join([f"t.key = (({keys})[1])", *self._window(flt, "t")])
        where = [
            "e.id = t.event_id",
            "e.created_at = t.created_at",
            *self._conditions(flt, "kinds tags"),
            *self._tag_conditions(others),
        ]
        return (
            f"SELECT t.created_at, t.event_id AS id, e.json FROM (SELECT * FROM (SELECT * FROM ("
            f"SELECT t.created_at, t.event_id, t.kind FROM relay_tag AS t WHERE {walked} "
            f"ORDER BY t.created_at DESC, t.event_id LIMIT {most + 1}) AS t "
            f"UNION ALL SELECT {END_TIME}, NULL, NULL LIMIT {most + 1}) AS t "
            f"WHERE t.event_id IS NULL OR {kinds} LIMIT {bound + 1}) AS t "
            f"LEFT JOIN LATERAL (SELECT e.json FROM relay_event AS e WHERE {all_of(where)} OFFSET 0) AS e ON true "
            f"WHERE e.json IS NOT NULL OR t.event_id IS NULL LIMIT {rows_wanted(flt)}"
        )

    def _marked_tag_walks(self, flt: Filter, tag: Tag, others: Sequence[Tag]) -> str:
        """A walk of each value of a tag, each event once."""
        keys, wanted, kinds = self._tag_keys(tag), rows_wanted(flt), self._tag_kinds(flt)
        bound, most = self._tag_bounds(flt, tag, others)
        walked = " AND ".join(["t.key = w.key", *self._window(flt, "t")])
        passed = f"{most} LIMIT 1"
        entries = f"FROM relay_tag AS t WHERE {walked} ORDER BY t.created_at DESC, t.event_id"
        # Only events that are looked at are numbered: for entries of other kinds that would cost ten times the reading.
        looked_at = (
            "SELECT t.*, row_number() OVER () AS n FROM ("
            f"SELECT * FROM (SELECT t.created_at, t.event_id, t.kind {entries} LIMIT {most}) AS t WHERE {kinds} "
            f"UNION ALL SELECT * FROM (SELECT t.created_at, t.event_id, NULL::integer {entries} OFFSET {passed}) AS t"
            f") AS t LIMIT {bound + 1}"
        )
        stop = f"(t.kind IS NULL OR t.n > {bound})"
        where = ["e.id = t.event_id", "e.created_at = t.created_at", f"NOT {stop}"]
        where += [*self._conditions(flt, "kinds tags"), *self._tag_conditions(others)]
        walk = (
            f"SELECT t.created_at, t.event_id AS id, e.at FROM ({looked_at}) AS t LEFT JOIN LATERAL "
            f"(SELECT e.ctid AS at FROM relay_event AS e WHERE {all_of(where)} OFFSET 0) AS e ON true "
            f"WHERE e.at IS NOT NULL OR {stop} LIMIT {wanted}"
        )
        # Of an event and a mark at its place the mark stays.
        return (
            "SELECT DISTINCT ON (e.created_at, e.id) e.created_at, e.id, e.at "
            f"FROM unnest({keys}) AS w (key) CROSS JOIN LATERAL ({walk}) AS e {ORDER}, e.at IS NOT NULL"
        )

    def _tag_kinds(self, flt: Filter) -> str:
        """The condition on the kind of an entry of relay_tag, so that events that cannot match are not looked at."""
        if flt.kinds is not None:
            return listed("t.kind", self._kinds(), len(flt.kinds))
        return "true" if self._audience else public().replace("e.kind", "t.kind")

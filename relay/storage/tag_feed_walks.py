"""The newest events with one of several values of a tag: few entries of each value, more only where they matter.

It is done as in `relay.storage.feed_walks`, with one difference: an event may have several of the values, so events are
counted once. An event is looked at only if it is among the newest, and no longer once for each of its values.
"""

from relay.protocol.audience import Audience
from relay.protocol.filters import Filter
from relay.protocol.visibility import all_public
from relay.storage.tag_walks import TagWalks
from relay.storage.walk_bounds import rows_wanted
from relay.storage.walk_conditions import Tag, all_of
from relay.storage.walk_rows import END_TIME, ORDER


def is_tag_feed(flt: Filter, audience: Audience) -> bool:
    """True if nearly every entry of an allowed kind is an event that matches: nothing else is asked for."""
    return (
        len(flt.tags) == 1
        and len(flt.tags[0][1]) > 1
        and flt.authors is None
        and flt.ids is None
        and (all_public(flt.kinds) or (flt.kinds is None and not audience))
    )


class TagFeedWalks(TagWalks):
    """The walks of one filter with one tag of several values."""

    def _tag_feed(self, flt: Filter) -> str:
        """The rows of the filter with their texts, in their order. More are found than wanted, as in a feed."""
        wanted = rows_wanted(flt)
        most = wanted + wanted // 8 + 16
        where = all_of(["e.id = r.id", "e.created_at = r.created_at", *self._conditions(flt, "kinds tags")])
        return (
            f"WITH {self._newest_of_values(flt, flt.tags[0], most)} "
            f"SELECT r.created_at, r.id, CASE WHEN NOT r.stops THEN t.json END AS json FROM ("
            f"SELECT e.created_at, e.id, e.stops OR row_number() OVER ({ORDER}) = {most} AS stops "
            f"FROM newest AS e {ORDER}) AS r "
            f"LEFT JOIN LATERAL (SELECT e.json FROM relay_event AS e WHERE {where} OFFSET 0) AS t ON true "
            f"WHERE t.json IS NOT NULL OR r.stops LIMIT {wanted}"
        )

    def _newest_of_values(self, flt: Filter, tag: Tag, most: int) -> str:
        """`newest`: the `most` newest events of all values, whatever their expiry. `stops` is true where the walk of a
        value stopped at its bound.
        """
        values, bounds = len(tag[1]), self._bounds
        first = 1 << (max(bounds.first_rows, 2 * most // values) - 1).bit_length()
        first = min(first, bounds.share(values, most), most)
        bound = min(most, bounds.most_rows // values + 1)
        floor = (
            f"t.created_at >= (SELECT CASE WHEN coalesce(max(f.n), 0) < {most} THEN {END_TIME} "
            "ELSE min(f.created_at) END FROM first AS f)"
        )
        onward = (
            f"SELECT e.created_at, e.id, e.stops OR row_number() OVER () = {bound} AS stops "
            f"FROM ({self._entries(flt, tag, [floor])} LIMIT {bound}) AS e"
        )
        return (
            "first AS MATERIALIZED (SELECT e.* FROM ("
            f"SELECT w.key, e.*, dense_rank() OVER ({ORDER}) AS n FROM unnest({self._tag_keys(tag)}) AS w (key) "
            f"CROSS JOIN LATERAL ({self._entries(flt, tag, [])} LIMIT {first}) AS e) AS e WHERE e.n <= {most}), "
            "newest AS (SELECT e.created_at, e.id, bool_or(e.stops) AS stops FROM ("
            "SELECT f.created_at, f.id, f.stops FROM first AS f UNION ALL SELECT e.* FROM ("
            f"SELECT f.key FROM first AS f GROUP BY f.key HAVING count(*) >= {first}) AS w "
            f"CROSS JOIN LATERAL ({onward}) AS e) AS e GROUP BY e.created_at, e.id {ORDER} LIMIT {most})"
        )

    def _entries(self, flt: Filter, tag: Tag, more: list[str]) -> str:
        """The entries of a value `w.key`, newest first, and after the last that may be read the place of the next."""
        walked = all_of(["t.key = w.key", *self._window(flt, "t"), *more])
        _, most = self._tag_bounds(flt, tag, [])
        entries = f"FROM relay_tag AS t WHERE {walked} ORDER BY t.created_at DESC, t.event_id"
        return (
            f"SELECT t.created_at, t.event_id AS id, false AS stops FROM ("
            f"SELECT t.created_at, t.event_id, t.kind {entries} LIMIT {most}) AS t WHERE {self._tag_kinds(flt)} "
            f"UNION ALL SELECT t.* FROM (SELECT t.created_at, t.event_id, true {entries} OFFSET {most} LIMIT 1) AS t"
        )

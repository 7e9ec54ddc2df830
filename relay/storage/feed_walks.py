"""The newest events of many authors (a home feed): few index entries of each, more only where they matter.

Of each pair of an author and a kind the newest `first_rows` entries are read, of the index alone. The `most` newest of
them set a floor: no older event is among the `most` newest of all. Only a pair whose first entries are all among those
can have more above the floor, so there are at most `most / first_rows` such pairs, and only they are walked on. The
texts are looked up at last, with the conditions that the index cannot decide (expiry, private kinds). More rows are
found than wanted, to replace the few that these drop; if they drop more, the mark says so, and the second attempt
checks the conditions in the walks.

In a divided store a walk that finds few entries looks into every partition. So there the pairs are walked within the
newest NEAR_SECONDS first, and further back only if that finds fewer than `most`.

300 of 40,000 authors, 2 kinds, newest 100 of 2,000,000 events: 4 ms; 22 ms with the conditions in the walks.
"""

from relay.protocol.filters import Filter
from relay.protocol.visibility import all_public
from relay.storage.tag_feed_walks import TagFeedWalks
from relay.storage.walk_bounds import Bounds, rows_wanted
from relay.storage.walk_conditions import all_of
from relay.storage.walk_rows import END_TIME, ORDER, PARTITIONED

SAMPLES = 32
"""The newest events are divided into this many parts; the first one tells whether to look through the others."""

NEAR_SECONDS = 30 * 86_400
"""No longer than a partition, so that few have it."""


class FeedWalks(TagFeedWalks):
    """The walks of one filter with many authors."""

    def _feed(self, flt: Filter, pairs: int, bounds: Bounds) -> str:
        """The rows of a filter without tags with their texts, in their order.

        If the authors write a good part of what is stored, their events are found among the newest of all: eight of
        those are looked at in the time of one walk. So the pairs are walked only if these hold too few.
        """
        wanted = rows_wanted(flt)
        most = wanted + wanted // 8 + 16 if all_public(flt.kinds) else 2 * wanted + 16
        recent = self._recent(flt, pairs, bounds)
        found = (
            f"WITH {recent}, {self._newest_of_pairs(flt, most, pairs, bounds)} "
            "SELECT r.created_at, r.id, false AS stops FROM recent AS r "
            f"WHERE (SELECT count(*) FROM recent) >= {wanted} "
            f"UNION ALL SELECT e.created_at, e.id, e.stops OR row_number() OVER ({ORDER}) = {most} FROM newest AS e "
            f"WHERE (SELECT count(*) FROM recent) < {wanted}"
        )
        found_at = ["e.id = r.id", "e.created_at = r.created_at"]  # so that one partition is looked at
        where = all_of([*found_at, *self._conditions(flt, "authors kinds")])
        return (
            f"SELECT r.created_at, r.id, CASE WHEN NOT r.stops THEN t.json END AS json "
            f"FROM (SELECT e.* FROM ({found}) AS e {ORDER} LIMIT {most}) AS r "
            f"LEFT JOIN LATERAL (SELECT e.json FROM relay_event AS e WHERE {where} OFFSET 0) AS t ON true "
            f"WHERE t.json IS NOT NULL OR r.stops LIMIT {wanted}"
        )

    def _recent(self, flt: Filter, pairs: int, bounds: Bounds) -> str:
        """Their events among the newest of all, `wanted` at least if that is known to be the answer.

        The hashed look-up is a sub-plan, which keeps the order of the index, and reads only columns of the index.
        """
        wanted = rows_wanted(flt)
        looked = min(bounds.recent_rows << pairs.bit_length(), bounds.most_rows)
        sample = looked // SAMPLES
        where = all_of(self._conditions(flt, ""))

        def among(limit: str) -> str:
            return (
                f"SELECT e.created_at, e.id FROM (SELECT e.created_at, e.id, e.pubkey, e.kind, e.expires_at "
                f"FROM relay_event AS e WHERE {all_of(self._window(flt, 'e'))} {ORDER} LIMIT {limit}) AS e "
                f"WHERE {where} {ORDER} LIMIT {wanted}"
            )

        enough = -(-2 * wanted // SAMPLES)
        return (
            f"sample AS MATERIALIZED ({among(str(sample))}), recent AS MATERIALIZED (SELECT * FROM sample "
            f"UNION ALL SELECT e.* FROM ({among(f'{looked - sample} OFFSET {sample}')}) AS e "
            f"WHERE (SELECT count(*) FROM sample) BETWEEN {enough} AND {wanted - 1})"
        )

    def _newest_of_pairs(self, flt: Filter, most: int, pairs: int, bounds: Bounds) -> str:
        """`newest`: the `most` newest events of all pairs, whatever their expiry and, without kinds, their kind.

        `stops` is true where a pair's further walk stopped at its bound, which only thousands of pairs reach.
        """
        onward_rows = bounds.most_rows // 2
        first = min(max(bounds.first_rows, most * most // onward_rows), bounds.share(pairs, most), most)
        bound = min(most, onward_rows * first // most + 1)
        stops = "false" if bound == most else f"row_number() OVER ({ORDER}) = {bound}"
        columns, sets, driving = [], [], []
        if flt.authors is not None:
            columns.append("e.pubkey")
            sets.append(f"({self._authors()}) AS w")
            driving.append("e.pubkey = w.a")
        if flt.kinds is not None:
            columns.append("e.kind")
            sets.append(f"unnest({self._kinds()}) AS v (k)")
            driving.append("e.kind = v.k")
        pair, window = ", ".join(columns), self._window(flt, "e")
        if flt.authors is None:
            # Asks for the row: PostgreSQL might look for each kind through relay_event_newest, which has the rest.
            window.append("e.ctid <> '(0,0)'")

        def first_of_pairs(when: list[str], if_true: str) -> str:
            walk = (
                f"SELECT {pair}, e.created_at, e.id FROM relay_event AS e WHERE {all_of([*driving, *window, *when])} "
                f"{ORDER} LIMIT {first}"
            )
            sources = " CROSS JOIN ".join([*sets, f"LATERAL ({walk}) AS e"])
            return f"SELECT e.* FROM {sources} WHERE {if_true} {ORDER} LIMIT {most}"

        near = first_of_pairs([f"e.created_at >= {self._near()}"], PARTITIONED)
        all_first = first_of_pairs([], f"(SELECT count(*) FROM near) < {most}")
        onward = [f"{column} = {column.replace('e.', 'd.')}" for column in columns] + window
        return (
            f"near AS MATERIALIZED ({near}), first AS MATERIALIZED ("
            f"SELECT e.* FROM near AS e WHERE (SELECT count(*) FROM near) >= {most} UNION ALL ({all_first})), "
            f"newest AS (SELECT e.* FROM (SELECT e.created_at, e.id, false AS stops FROM first AS e "
            f"UNION SELECT e.created_at, e.id, e.stops FROM (SELECT {pair} FROM first AS e GROUP BY {pair} "
            f"HAVING count(*) >= {first}) AS d CROSS JOIN LATERAL ("
            f"SELECT e.created_at, e.id, {stops} AS stops FROM relay_event AS e WHERE {all_of(onward)} "
            f"AND e.created_at >= (SELECT CASE WHEN count(*) < {most} THEN {END_TIME} "
            f"ELSE min(e.created_at) END FROM first AS e) {ORDER} LIMIT {bound}) AS e) AS e {ORDER} LIMIT {most})"
        )

    def _near(self) -> str:
        """From when on events are looked at first."""
        if "near" not in self._bound:
            number = self._number
            self._bound["near"] = self._add(
                lambda filters, now: max(
                    0, min(now if (until := filters[number].until) is None else until, now) - NEAR_SECONDS
                ),
                "bigint",
            )
        return self._bound["near"]

"""Common kinds, active authors and popular threads among the newest events: what is worth copying.

Rule: it reads a bounded number of the newest events, along their index.
"""

from msgspec import Struct

from relay.storage.channel import integer
from relay.storage.filter_sql import POSITION
from relay.storage.reads import Reads
from relay.storage.visibility_sql import COPIED

_TEXT = f"""
WITH recent AS MATERIALIZED (
    SELECT e.pubkey, e.kind, e.tag_keys FROM relay_event AS e
    WHERE {COPIED} ORDER BY e.created_at DESC, e.id LIMIT $1::integer
)
SELECT {POSITION}, found.* FROM (
(SELECT 1, kind, ''::bytea FROM recent GROUP BY kind ORDER BY count(*) DESC, kind LIMIT $2::integer)
UNION ALL
(SELECT 2, 0, pubkey FROM recent GROUP BY pubkey ORDER BY count(*) DESC, pubkey LIMIT $3::integer)
UNION ALL
(SELECT 3, 0, substr(key, 3) FROM recent CROSS JOIN unnest(tag_keys) AS k (key)
 WHERE length(key) = 34 AND substr(key, 1, 2) = '\\x6501'::bytea
 GROUP BY key ORDER BY count(*) DESC, key LIMIT $4::integer)
) AS found
"""


class Activity(Struct, frozen=True):
    """Kinds by number of events, authors by number of events, event ids by number of references to them."""

    kinds: list[int]
    authors: list[str]
    threads: list[str]


async def activity(reads: Reads, recent: int, kinds: int, authors: int, threads: int) -> Activity:
    """The first `kinds`, `authors` and `threads` of each, among the `recent` newest events. Raises Failed."""
    _, rows = await reads.fetch(_TEXT, (recent, kinds, authors, threads))
    found = Activity([], [], [])
    for _, what, kind, key in rows:
        match integer(what):
            case 1:
                found.kinds.append(integer(kind))
            case 2:
                found.authors.append((key or b"").hex())
            case 3:
                found.threads.append((key or b"").hex())
    return found

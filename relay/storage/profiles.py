"""The newest profile (kind 0) of each of some authors, in one statement.

Rule: rows and position are read in one snapshot, as everywhere; what has expired is not there.
"""

import time
from collections.abc import Sequence

from relay.changes.row import Row, pubkey_of
from relay.storage.channel import integer
from relay.storage.filter_sql import hex_array
from relay.storage.reads import Reads

_TEXT = """
SELECT coalesce((SELECT c.seq FROM relay_change AS c ORDER BY c.seq DESC LIMIT 1), 0), (
    SELECT string_agg(p.json, E'\\n') FROM (
        SELECT DISTINCT ON (e.pubkey) e.json FROM relay_event AS e
        WHERE e.pubkey = ANY ($1::bytea[]) AND e.kind = 0 AND (e.expires_at IS NULL OR e.expires_at > $2::bigint)
        ORDER BY e.pubkey, e.created_at DESC, e.id
    ) AS p
)
"""


async def newest_profiles(reads: Reads, pubkeys: Sequence[str]) -> tuple[int, dict[str, Row]]:
    """The position, and at it the newest kind 0 of each of `pubkeys` (64 hex digits) that has one. Raises Failed."""
    ((position, texts),) = await reads.fetch(_TEXT, (hex_array(pubkeys), int(time.time())))
    found = [] if texts is None else texts.split(b"\n")
    return integer(position), {pubkey_of(text): Row.of(text) for text in found}

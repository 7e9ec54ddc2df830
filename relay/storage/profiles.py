"""The newest profile (kind 0) of each of some authors, in one statement.

Rule: rows and position are read in one snapshot; expired events are left out.
"""

import time
from collections.abc import Sequence

from relay.changes.row import pubkey_of
from relay.storage.filter_sql import POSITION
from relay.storage.reads import Reads
from relay.storage.visibility_sql import COPIED, hex_array

_TEXT = f"""
SELECT {POSITION}, (
    SELECT string_agg(p.json, E'\\n') FROM (
        SELECT DISTINCT ON (e.pubkey) e.json FROM relay_event AS e
        WHERE e.pubkey = ANY ($1::bytea[]) AND e.kind = 0 AND {COPIED}
          AND (e.expires_at IS NULL OR e.expires_at > $2::bigint)
        ORDER BY e.pubkey, e.created_at DESC, e.id
    ) AS p
)
"""


async def newest_profiles(reads: Reads, pubkeys: Sequence[str]) -> tuple[int, dict[str, bytes]]:
    """The position, and at it the text of the newest kind 0 of each of `pubkeys` (hex) that has one. Raises Failed."""
    position, ((_, texts),) = await reads.fetch(_TEXT, (hex_array(pubkeys), int(time.time())))
    found = [] if texts is None else texts.split(b"\n")
    return position, {pubkey_of(text): text for text in found}

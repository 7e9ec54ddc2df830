"""The newest profile (kind 0) of each of some authors, in one statement whose answer is bounded in bytes.

Rule: rows and position are read in one snapshot; expired events are left out.
"""

import time
from collections.abc import Sequence

from relay.changes.row import pubkey_of
from relay.storage.fair_queue import INTERNAL
from relay.storage.filter_sql import POSITION
from relay.storage.query_cost import WALK_MS, Cost
from relay.storage.reads import Reads
from relay.storage.visibility_sql import COPIED, hex_array

MOST_BYTES = 4_194_304
"""Texts of one answer: a profile may be as large as any event, and 100 of the largest are 100 MiB."""

_TEXT = f"""
WITH p AS MATERIALIZED (
    SELECT DISTINCT ON (e.pubkey) e.json FROM relay_event AS e
    WHERE e.pubkey = ANY ($1::bytea[]) AND e.kind = 0 AND {COPIED}
      AND (e.expires_at IS NULL OR e.expires_at > $2::bigint)
    ORDER BY e.pubkey, e.created_at DESC, e.id
), s AS MATERIALIZED (
    SELECT coalesce(sum(octet_length(p.json)), 0) > $3::bigint AS is_large FROM p
)
SELECT {POSITION}, s.is_large, CASE WHEN NOT s.is_large THEN (SELECT string_agg(p.json, E'\\n') FROM p) END FROM s
"""
"""The texts are joined only if their sum, which needs no look at a long text, is within the bound."""


class TooLarge(Exception):
    """these profiles are larger together than one answer may be"""


async def newest_profiles(reads: Reads, pubkeys: Sequence[str], owner: str = INTERNAL) -> tuple[int, dict[str, bytes]]:
    """The position, and at it the text of the newest kind 0 of each of `pubkeys` (hex) that has one. `owner` asks.

    Raises Failed, RateLimited if too many queries of the owner wait, TooLarge if the texts have more than MOST_BYTES.
    """
    parameters = (hex_array(pubkeys), int(time.time()), MOST_BYTES)
    cost = Cost(len(pubkeys) * WALK_MS, True)
    position, ((_, is_large, texts),) = await reads.fetch(_TEXT, parameters, owner=owner, cost=cost)
    if is_large == b"\x01":
        raise TooLarge
    found = [] if texts is None else texts.split(b"\n")
    return position, {pubkey_of(text): text for text in found}

"""The newest events of the store, page by page, for filling a window."""

from relay.changes.overlay import newest_first
from relay.protocol.event import StoredEvent
from relay.storage.filter_sql import POSITION
from relay.storage.reads import Reads
from relay.storage.visibility_sql import COPIED

_TEXT = (
    f"SELECT {POSITION}, "
    "(SELECT string_agg(e.json, E'\\n' ORDER BY e.created_at DESC, e.id) FROM ("
    "SELECT e.created_at, e.id, e.json FROM relay_event AS e "
    "WHERE e.created_at <= $1::bigint AND (e.created_at < $1::bigint OR e.id > $2::bytea) "
    f"AND {COPIED} ORDER BY e.created_at DESC, e.id LIMIT $3::integer) AS e)"
)


async def events_below(reads: Reads, floor: tuple[int, str] | None, limit: int) -> tuple[int, list[StoredEvent]]:
    """The position, and at it up to `limit` events after `floor` in the order of answers, newest first.

    `floor` is (-created_at, id) as `newest_first` gives it, None for the start. Kinds that are never copied are left
    out, expired events are not. Raises Failed.
    """
    second, after = (2**63 - 1, b"") if floor is None else (-floor[0], bytes.fromhex(floor[1]))
    position, ((_, texts),) = await reads.fetch(_TEXT, (second, after, limit))
    found = [] if texts is None else [StoredEvent.from_json(text) for text in texts.split(b"\n")]
    found.sort(key=newest_first)
    return position, found

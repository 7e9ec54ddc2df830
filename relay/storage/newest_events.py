"""The newest events of the store, page by page, for filling a window."""

from msgspec import Struct

from relay.background import Turn
from relay.changes.overlay import newest_first
from relay.protocol.event import StoredEvent
from relay.storage.filter_sql import POSITION
from relay.storage.reads import Reads
from relay.storage.visibility_sql import COPIED

PAGE_BYTES = 1_048_576
"""JSON text of one page; its last event may reach beyond it."""

_PAGE = (
    f"SELECT {POSITION}, "
    "string_agg(p.json, E'\\n' ORDER BY p.created_at DESC, p.id) FILTER (WHERE p.before < $4::bigint), "
    "count(*) < $3::integer AND coalesce(bool_and(p.before < $4::bigint), true) FROM ("
    "SELECT e.created_at, e.id, e.json, coalesce(sum(octet_length(e.json)) OVER "
    "(ORDER BY e.created_at DESC, e.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before FROM ("
    "SELECT e.created_at, e.id, e.json FROM relay_event AS e "
    "WHERE e.created_at <= $1::bigint AND (e.created_at < $1::bigint OR e.id > $2::bytea) "
    f"AND {COPIED} ORDER BY e.created_at DESC, e.id LIMIT $3::integer) AS e) AS p"
)


class NewestEvents(Struct, frozen=True, gc=False):
    """Events of the store at `position`, newest first. `complete`: none lies below the last one."""

    position: int
    events: list[StoredEvent]
    complete: bool


async def events_below(
    reads: Reads, floor: tuple[int, str] | None, limit: int, least: int | None = None
) -> NewestEvents:
    """The next events after `floor` in the order of answers: at most `limit`, and about PAGE_BYTES.

    `floor` is (-created_at, id) as `newest_first` gives it, None for the start; `least` as for `Reads.fetch`. Kinds
    that are never copied are left out, expired events are not. Raises Failed.
    """
    second, after = (2**63 - 1, b"") if floor is None else (-floor[0], bytes.fromhex(floor[1]))
    position, ((_, texts, complete),) = await reads.fetch(_PAGE, (second, after, limit, PAGE_BYTES), least=least)
    turn, found = Turn(), []
    for text in texts.split(b"\n") if texts else ():
        found.append(StoredEvent.from_json(text))
        await turn.end()
    found.sort(key=newest_first)
    return NewestEvents(position, found, complete == b"\x01")

"""The log of changes: the truth that the bus only announces."""

from msgspec import Struct

from relay.changes.change import Added, Batch, Change, Removed
from relay.protocol.event import StoredEvent
from relay.storage.channel import integer
from relay.storage.reads import Reads
from relay.storage.sole import Claim

PAGE_CHANGES = 1_000
"""Changes of one read of the log: some megabytes at most, so that the loop is not held for long."""


class Heartbeat(Struct, frozen=True, gc=False):
    """The newest number of the order, and the epoch it belongs to."""

    position: int
    epoch: int


class LogPruned(LookupError):
    """The log no longer holds the changes after that position."""


async def heartbeat(reads: Reads) -> Heartbeat:
    """Where the order stands now. Begins a new epoch when the server's timeline has changed. Raises Failed."""
    ((position, epoch),) = await reads.fetch("SELECT relay_position(), epoch FROM relay_current_store()")
    return Heartbeat(integer(position), integer(epoch))


class Newest(Struct, frozen=True, gc=False):
    """The newest number of the order. `announced` is False while some process cannot tell the cache of its own."""

    position: int
    announced: bool
    claim: Claim


async def newest(reads: Reads, me: str = "") -> Newest:
    """Up to where everything acknowledged before this call lies, and who claims the store, seen by the instance `me`.

    Raises Failed.
    """
    ((position, unannounced, serial, mine, foreign),) = await reads.fetch(
        "SELECT relay_position(), EXISTS (SELECT FROM relay_unannounced WHERE until > clock_timestamp()), "
        "coalesce(serial, 0), coalesce(instance = $1::text, false), coalesce(instance <> $1::text, false) "
        "FROM (SELECT) AS always LEFT JOIN relay_sole ON true",
        (me,),
    )
    claim = Claim(integer(serial), mine == b"\x01", foreign == b"\x01")
    return Newest(integer(position), unannounced == b"\x00", claim)


async def stand_unannounced(reads: Reads, process: str, seconds: int) -> None:
    """Note for all processes that this one acknowledges what the cache does not say, for `seconds`. Raises Failed."""
    await reads.fetch(
        "INSERT INTO relay_unannounced AS u (process, until) "
        "VALUES ($1::text, clock_timestamp() + $2::integer * interval '1 second') "
        "ON CONFLICT (process) DO UPDATE SET until = excluded.until",
        (process, seconds),
    )


async def stand_announced(reads: Reads, process: str) -> None:
    """Take the note away again, and those of processes that are long gone. Raises Failed."""
    await reads.fetch(
        "DELETE FROM relay_unannounced WHERE process = $1::text OR until < clock_timestamp() - interval '1 hour'",
        (process,),
    )


async def changes_after(reads: Reads, position: int, limit: int = PAGE_CHANGES) -> Batch | None:
    """Up to `limit` changes after `position`, or None when there is none.

    An event that was removed since is read as a removal at the place where it was added: its own removal follows.
    Raises LogPruned when the next change is gone, Failed when the database cannot answer.
    """
    rows = await reads.fetch(
        "SELECT c.seq, c.op = '+', c.event_id, e.json FROM relay_change AS c "
        "LEFT JOIN relay_event AS e ON e.id = c.event_id AND c.op = '+' "
        "WHERE c.seq > $1::bigint ORDER BY c.seq LIMIT $2::integer",
        (position, limit),
    )
    if not rows:
        return None
    begin = integer(rows[0][0])
    if begin != position + 1:
        raise LogPruned(f"the log begins at {begin}, after {position} was asked for")
    return Batch.of([_change(begin + number, *row[1:]) for number, row in enumerate(rows)])


def _change(seq: int, added: bytes | None, event_id: bytes | None, text: bytes | None) -> Change:
    if added == b"\x01" and text is not None:
        return Added(seq, StoredEvent.from_json(text))
    return Removed(seq, (event_id or b"").hex())

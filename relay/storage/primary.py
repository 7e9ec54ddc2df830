"""Coordination with the primary: position, store, lease and log.

Rule: these calls never wait behind a client's query; the connections run nothing else. Never call a standby: it has no
write position, and its lease is a copy.
"""

from collections.abc import Callable, Sequence

import psycopg
from msgspec import Struct

from relay.background import BackgroundTasks, Turn
from relay.changes.change import Added, Batch, Change, Purged, Removed, Vanished
from relay.conf import Life
from relay.protocol.errors import Failed
from relay.protocol.event import StoredEvent
from relay.storage.channel import integer
from relay.storage.database import INDEX_WALKS_ONLY, Connection, connect
from relay.storage.filter_sql import POSITION
from relay.storage.link import Statement
from relay.storage.request import Row
from relay.storage.server import Server
from relay.storage.store import Store, store_of
from relay.storage.visibility_sql import STORED

CONNECTIONS = 2
"""One is enough for the short statements; the other reads pages of the log meanwhile."""

PAUSE_SECONDS = 0.5
"""Between two attempts to connect, at most: when these connections are back, the other pools connect at once."""

HEARTBEAT_SECONDS = 1.5
"""A statement that reads four rows, on a connection that runs nothing slow. Two that are not answered in time mean that
the primary is gone (relay.services.follow).
"""

PAGE_CHANGES = 1_000
"""Changes of one read of the log."""

PAGE_BYTES = 1_048_576
"""JSON text of one read of the log; the last event of a page may reach beyond it."""

PAGE_ENTRIES = 2_000
"""Entries of one read of the operators' lists: 2 ms of the loop."""

_HEARTBEAT = (
    f"SELECT {POSITION}, (SELECT v.version FROM relay_list_version AS v), s.identity, s.generation, s.epoch "
    "FROM relay_current_store() AS s"
)
_LISTS = (
    "SELECT e.list, e.key, e.until, e.removed, e.version FROM relay_list_entry AS e "
    "WHERE e.version > $1::bigint ORDER BY e.version LIMIT $2::integer"
)
_LOOK = (
    f"SELECT {POSITION}, s.identity, s.epoch, "
    "(SELECT l.instance = $1::text AND l.ended_at < now() - interval '350 ms' FROM relay_lease AS l) "
    "FROM relay_store AS s"
)
"""Without relay_current_store(): before an instance writes to a server that was promoted, it has noted its new epoch in
the row.
"""
_LOG = (
    "SELECT l.seq, l.op::text, l.event_id, l.json, l.created_at FROM ("
    "SELECT c.seq, c.op, c.event_id, c.created_at, e.json, "
    "sum(octet_length(e.json)) OVER (ORDER BY c.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before "
    "FROM (SELECT * FROM relay_change WHERE seq > $1::bigint ORDER BY seq LIMIT $2::integer) AS c "
    f"LEFT JOIN relay_event AS e ON e.id = c.event_id AND e.created_at = c.created_at AND c.op = '+' AND {STORED}"
    ") AS l WHERE coalesce(l.before, 0) < $3::bigint ORDER BY l.seq"
)
"""octet_length() does not read a text that is stored out of line, so what lies beyond the page costs little."""
_NEWEST_WITHIN = (
    "SELECT coalesce(min(l.seq) - 1, $1::bigint) FROM ("
    "SELECT c.seq, coalesce(sum(octet_length(e.json)) OVER (ORDER BY c.seq DESC ROWS UNBOUNDED PRECEDING), 0) AS bytes "
    "FROM (SELECT seq, op, event_id, created_at FROM relay_change WHERE seq <= $1::bigint ORDER BY seq DESC "
    "LIMIT $2::integer) AS c "
    "LEFT JOIN relay_event AS e ON e.id = c.event_id AND e.created_at = c.created_at AND c.op = '+'"
    ") AS l WHERE l.bytes <= $3::bigint"
)


_NOTE_URLS = "UPDATE relay_store SET urls = string_to_array($1::text, ' ') WHERE urls <> string_to_array($1::text, ' ')"


class Heartbeat(Struct, frozen=True, gc=False):
    """The newest number of the log, the store that it belongs to, and the version of the operators' lists."""

    position: int
    store: Store
    lists: int = 0


class ListRow(Struct, frozen=True, gc=False):
    """An entry of the operators' lists (`relay.policies.lists`) as it stands since `version`."""

    list: str
    key: str
    until: int
    removed: bool
    version: int


class Look(Struct, frozen=True, gc=False):
    """One snapshot of the primary: everything acknowledged before it lies at or below `position`.

    `log_key` is that of the store (`Store.log_key`). `has_lease`: the instance that asked holds the single-instance
    lease, and no process relies on the previous one any more.
    """

    position: int
    has_lease: bool
    log_key: int


class LogPruned(LookupError):
    """The log no longer holds the changes after that position."""


class Primary:
    """The coordination connections of one process. Every call raises Failed if the primary cannot answer."""

    def __init__(self, seconds: float, tasks: BackgroundTasks | None = None, *, life: Life | None = None) -> None:
        """`seconds` is the time-out of a call; a connection is used for a `life`."""

        async def opened() -> Connection:
            return await connect(application="relay coordination", statement_seconds=seconds, **INDEX_WALKS_ONLY)

        self._server = Server(
            opened,
            CONNECTIONS,
            seconds,
            tasks or BackgroundTasks(),
            "primary (coordination)",
            life=life,
            pause_seconds=PAUSE_SECONDS,
        )

    def open(self) -> None:
        """Begin to connect; needs a running loop."""
        self._server.open()

    async def until_connected(self, seconds: float) -> None:
        """Return once the primary is connected. Raises Failed after `seconds`."""
        await self._server.until_connected(seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    @property
    def pools(self) -> list[Server]:
        """Its connections, for the figures."""
        return [self._server]

    def drop(self, why: str) -> None:
        """The primary does not answer: end what it was asked, and connect again."""
        self._server.drop(why)

    async def heartbeat(self) -> Heartbeat:
        """The position now, within HEARTBEAT_SECONDS. Begins a new epoch or generation if the server is another one."""
        statement = Statement(_HEARTBEAT.encode(), ())
        try:
            ((position, lists, *store),) = await self._server.run(statement, HEARTBEAT_SECONDS)
        except psycopg.errors.QueryCanceled as error:
            raise Failed("query timed out") from error
        return Heartbeat(integer(position), store_of(*store), integer(lists))

    async def note_urls(self, urls: Sequence[str]) -> None:
        """Note the addresses of this relay in the store, for commands (relay.storage.store.read_urls)."""
        await self._server.fetch(_NOTE_URLS, (" ".join(urls),))

    async def rows(self, text: str, parameters: Sequence[bytes | str | int | None] = ()) -> list[Row]:
        """The rows of a short statement of another package, in binary format."""
        return await self._server.fetch(text, parameters)

    async def list_entries_after(self, version: int) -> list[ListRow]:
        """The entries of the operators' lists that were changed after `version`, lifted ones too, in the order of their
        versions: at most PAGE_ENTRIES.
        """
        rows = await self._server.fetch(_LISTS, (version, PAGE_ENTRIES))
        return [
            ListRow((name or b"").decode(), (key or b"").decode(), integer(until), removed == b"\x01", integer(number))
            for name, key, until, removed, number in rows
        ]

    def look(self, instance: str, then: Callable[[Look | None], None]) -> None:
        """Call `then` in a later turn with a snapshot that begins after this call; None if the primary cannot
        answer.
        """
        self._server.ask(_LOOK, (instance,), lambda rows: then(_looked(rows[0]) if rows else None))

    async def position(self) -> int:
        """A position at or above everything acknowledged before this call."""
        ((position,),) = await self._server.fetch(f"SELECT {POSITION}")
        return integer(position)

    async def take_lease(self, instance: str) -> bool:
        """Register `instance` as running, and take the lease if no other instance is; the lease of another one ends.

        Returns whether `instance` holds it.
        """
        ((mine,),) = await self._server.fetch("SELECT relay_lease_take($1::text)", (instance,))
        return mine == b"\x01"

    async def leave(self, instance: str) -> None:
        """Deregister `instance`; a process of it that still runs registers it again."""
        await self._server.fetch("DELETE FROM relay_instance WHERE name = $1::text", (instance,))

    async def changes_after(self, position: int, limit: int = PAGE_CHANGES) -> Batch | None:
        """The next changes after `position`, or None if there is none: at most `limit`, and about PAGE_BYTES.

        An event that was removed since is read as a removal in place of its addition; its own removal, or the request
        to vanish or the purge that hides it, follows. Raises LogPruned if the next change is gone.
        """
        rows = await self._server.fetch(_LOG, (position, limit, PAGE_BYTES))
        if not rows:
            return None
        begin = integer(rows[0][0])
        if begin != position + 1:
            raise LogPruned(f"the log begins at {begin}, after {position} was asked for")
        turn, changes = Turn(), []
        for number, row in enumerate(rows):
            changes.append(_change(begin + number, row))
            await turn.end()
        return Batch.of(changes)

    async def before_newest(self, position: int, changes: int, size: int) -> int:
        """The position before the newest `changes` of those up to `position`, or before fewer whose events have `size`
        bytes of JSON text at most.
        """
        ((begin,),) = await self._server.fetch(_NEWEST_WITHIN, (position, changes, size))
        return integer(begin)


def _looked(row: Row) -> Look:
    position, identity, epoch, mine = row
    return Look(integer(position), mine == b"\x01", store_of(identity, None, epoch).log_key)


def _change(seq: int, row: Row) -> Change:
    _, op, event_id, text, created_at = row
    if op == b"+" and text is not None:
        return Added(seq, StoredEvent.from_json(text))
    if op == b"v":
        return Vanished(seq, (event_id or b"").hex(), integer(created_at))
    if op == b"p":
        return Purged.of(seq, event_id or b"", integer(created_at))
    return Removed(seq, (event_id or b"").hex())

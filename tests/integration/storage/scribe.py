"""Writes events to the real database and looks at what it holds, beside the code under test."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import psycopg
from django.db import connection as django_connection

from relay.changes.change import Batch
from relay.protocol.errors import Failed
from relay.protocol.event import Event, StoredEvent
from relay.protocol.removal import place_of
from relay.storage import schema
from relay.storage.batch import Entry
from relay.storage.database import conninfo
from relay.storage.primary import Primary
from relay.storage.reads import Reads
from relay.storage.visibility_sql import STORED
from relay.storage.write_result import WriteOutcome
from relay.storage.writer import Writer

T = TypeVar("T")
Json = dict[str, Any]
HERE = frozenset(place for place in [place_of("wss://relay.example.com")] if place)


def entry(event: Json) -> Entry:
    parsed = msgspec.convert(event, Event)
    return Entry.of(parsed, StoredEvent.of(parsed), 0, HERE)


class Scribe:
    """A writer, and the batches that it committed."""

    def __init__(self, *, batch_events: int = 500, queue_events: int = 10_000, write_seconds: float = 10.0) -> None:
        self.committed: list[Batch] = []
        self.writer = Writer(
            self.committed.append, batch_events=batch_events, queue_events=queue_events, write_seconds=write_seconds
        )

    def submit(self, given: Entry) -> "asyncio.Future[WriteOutcome]":
        result: asyncio.Future[WriteOutcome] = asyncio.get_running_loop().create_future()
        self.writer.submit(given, lambda _, outcome: result.set_result(outcome))
        return result

    async def write(self, *events: Json) -> list[WriteOutcome]:
        """Submit all in one turn of the loop; the outcomes, in the order of the events."""
        return await self.write_entries([entry(event) for event in events])

    async def write_entries(self, entries: Sequence[Entry]) -> list[WriteOutcome]:
        return await asyncio.wait_for(asyncio.gather(*[self.submit(given) for given in entries]), 30)


class Tables:
    """What the database holds, seen on a connection of its own."""

    def __init__(self) -> None:
        self.connection = psycopg.connect(conninfo(application_name="relay test"), autocommit=True)
        self.connection.execute("SET synchronous_commit = off")

    def close(self) -> None:
        self.connection.close()

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(query.encode(), parameters).fetchall()

    def clear(self) -> None:
        self.connection.execute(
            "DELETE FROM relay_event; DELETE FROM relay_tag; DELETE FROM relay_head; DELETE FROM relay_change; "
            "DELETE FROM relay_tag_garbage; DELETE FROM relay_tombstone; DELETE FROM relay_address_tombstone; "
            "DELETE FROM relay_vanish; DELETE FROM relay_vanish_pending; DELETE FROM relay_vanish_spared; "
            "DELETE FROM relay_list_entry; DELETE FROM relay_retention; UPDATE relay_lease SET purged_before = -1"
        )

    def forget_instances(self) -> None:
        """No instance runs, and none holds the lease or may still rely on it."""
        self.connection.execute(
            "DELETE FROM relay_instance; UPDATE relay_lease SET instance = NULL, ended_at = '-infinity'"
        )

    def ids(self) -> set[str]:
        """The ids of all stored events that no request to vanish hides."""
        return {event_id.hex() for (event_id,) in self.rows(f"SELECT e.id FROM relay_event AS e WHERE {STORED}")}

    def vanish(self, most: int = 100) -> int:
        """What the job does: transactions until nothing is left to remove; returns how many."""
        count = 0
        while self.rows("SELECT relay_vanish_step(NULL, %s::integer)", most)[0][0]:
            count += 1
        return count

    def log(self) -> list[tuple[int, str, str]]:
        """The whole log: number, '+' or '-', id."""
        found = self.rows("SELECT seq, op::text, event_id FROM relay_change ORDER BY seq")
        return [(seq, op, event_id.hex()) for seq, op, event_id in found]

    def heads(self) -> dict[tuple[str, int], str]:
        """The head of each replaceable address whose d is empty."""
        found = self.rows("SELECT pubkey, kind, event_id FROM relay_head WHERE d = '\\x00'::bytea")
        return {(pubkey.hex(), kind): event_id.hex() for pubkey, kind, event_id in found}

    def tags(self, *, stored: bool = True) -> list[tuple[bytes, str]]:
        """Key and event of every tag row of the stored events, or of those that are gone."""
        found = self.rows(
            "SELECT t.key, t.event_id FROM relay_tag AS t LEFT JOIN relay_event AS e ON e.id = t.event_id "
            "WHERE (e.id IS NOT NULL) = %s ORDER BY t.key, t.event_id",
            stored,
        )
        return [(key, event_id.hex()) for key, event_id in found]

    def assert_consistent(self) -> None:
        """The log is gapless and leads to exactly the rows; tags and heads belong to stored events.

        Tag rows of events that are gone are all noted, to be removed. All of it is one snapshot: a write that failed
        for its client may still be committed.
        """
        with self.connection.transaction():
            self.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self._assert_consistent()

    def _assert_consistent(self) -> None:
        log = self.log()
        assert [seq for seq, _, _ in log] == list(range(1, len(log) + 1))
        assert replay(log) == self.ids()
        self.assert_rows_consistent()

    def assert_rows_consistent(self) -> None:
        """Tags belong to stored events; those of events that are gone are noted."""
        expected = self.rows("SELECT unnest(tag_keys) AS key, id FROM relay_event ORDER BY key, id")
        assert self.tags() == [(key, event_id.hex()) for key, event_id in expected]
        noted = self.rows(
            "SELECT unnest(tag_keys[removed + 1:]) AS key, event_id FROM relay_tag_garbage ORDER BY key, event_id"
        )
        assert self.tags(stored=False) == [(key, event_id.hex()) for key, event_id in noted]


def make_store(connection: "psycopg.Connection[Any]") -> None:
    """Run all migrations of the store in an empty database."""
    migrate(connection, 1, len(schema.MIGRATIONS))


def migrate(connection: "psycopg.Connection[Any]", first: int, last: int) -> None:
    """Run some migrations of the store."""
    for text in schema.texts(first, last):
        connection.execute(text.encode())


def replay(log: Sequence[tuple[int, str, str]]) -> set[str]:
    """The ids that a log leads to; every '+' must be new and every '-' must take away something."""
    present: set[str] = set()
    for _, op, event_id in log:
        assert (event_id in present) == (op == "-"), "a change must change something"
        present ^= {event_id}
    return present


async def wait_until_answering(reads: Reads, seconds: float = 5.0) -> list[Any]:
    """Ask until there is an answer; fails when there is none in time."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return (await reads.fetch("SELECT 1"))[1]
            except Failed:
                await asyncio.sleep(0.02)


async def wait_for_primary(primary: Primary, seconds: float = 5.0) -> None:
    """Ask until there is an answer; fails when there is none in time."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                await primary.position()
            except Failed:
                await asyncio.sleep(0.02)
            else:
                return


async def on_own_connection(job: Callable[..., T], *given: Any) -> T:
    """Run a job that uses Django's connection in a thread, and close the connection that the thread has got."""

    def run() -> T:
        try:
            return job(*given)
        finally:
            django_connection.close()

    return await asyncio.to_thread(run)

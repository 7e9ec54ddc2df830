"""A PostgreSQL of its own that stops and comes back: what is asked fails at once and is well again by itself."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connections

from relay.protocol.errors import Failed
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.storage.database import conninfo
from relay.storage.reads import Reads
from relay.storage.write_result import WriteOutcome
from relayproject.runtime.datafolder import DataFolder
from relayproject.runtime.postgres import DATABASE, PORT, USER, EmbeddedPostgres
from tests.events import unsigned_event
from tests.integration.storage.scribe import Scribe, make_store, wait_until_answering

EVERYTHING = [parse_filter({}, Limits())]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server beside the one of the session, with the relay's tables."""
    with tempfile.TemporaryDirectory(prefix="relay-outage-", ignore_cleanup_errors=True) as name:
        folder = DataFolder(Path(name))
        folder.take()
        made = EmbeddedPostgres(folder.path / "postgres", folder.sockets(), folder.path / "postgres.log")
        made.start()
        yield made
        made.stop()
        folder.release()


@pytest.fixture
async def scribe(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scribe]:
    place = {"NAME": DATABASE, "USER": USER, "PASSWORD": "", "HOST": str(server.sockets), "PORT": str(PORT)}
    monkeypatch.setattr(connections["default"], "settings_dict", {**place, "OPTIONS": {}})
    with psycopg.connect(conninfo(), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        make_store(connection)
    made = Scribe(write_seconds=5)
    made.writer.start()
    yield made
    await made.writer.stop(5)


@pytest.fixture
async def reads(scribe: Scribe) -> AsyncIterator[Reads]:
    made = Reads.of_primary(3, 5.0)
    made.open()
    await wait_until_answering(made)
    yield made
    await made.close()


async def stored_again(scribe: Scribe, seconds: float = 5) -> None:
    """Write until an event is stored."""
    number = 0
    async with asyncio.timeout(seconds):
        while await scribe.write(unsigned_event(content=f"again {number}")) != [WriteOutcome.STORED]:
            number += 1
            await asyncio.sleep(0.05)


async def test_an_unavailable_database_fails_at_once_and_is_reconnected(
    server: EmbeddedPostgres, scribe: Scribe, reads: Reads
) -> None:
    event = unsigned_event(content="before")
    assert await scribe.write(event) == [WriteOutcome.STORED]
    server.stop()
    async with asyncio.timeout(5):
        assert await scribe.write(unsigned_event(content="away")) == [WriteOutcome.FAILED]
        with pytest.raises(Failed, match="cannot answer now"):
            await reads.query(EVERYTHING)
    server.start()  # in this thread: the server ends with the one that started it
    await wait_until_answering(reads)
    await stored_again(scribe)
    assert len((await reads.query(EVERYTHING)).events) == 2


async def test_a_crash_under_load_loses_nothing_that_was_acknowledged(
    server: EmbeddedPostgres, scribe: Scribe, reads: Reads
) -> None:
    """The server is killed while it writes; afterwards every acknowledged event is there, and the log fits the rows."""
    events = [unsigned_event(content=f"number {number}") for number in range(400)]
    writing = [asyncio.ensure_future(scribe.write(*events[start : start + 20])) for start in range(0, 400, 20)]
    await writing[3]
    assert server.process is not None
    server.process.send_signal(3)  # SIGQUIT: at once, as a crash
    await asyncio.to_thread(server.process.wait)
    results = [outcome for outcomes in await asyncio.gather(*writing) for outcome in outcomes]
    server.start()  # in this thread: the server ends with the one that started it
    await wait_until_answering(reads)
    await stored_again(scribe)
    with psycopg.connect(conninfo()) as connection:
        stored = {row[0].hex() for row in connection.execute("SELECT id FROM relay_event")}
        log = connection.execute("SELECT seq, event_id FROM relay_change ORDER BY seq").fetchall()
    acknowledged = {
        event["id"] for event, outcome in zip(events, results, strict=True) if outcome is WriteOutcome.STORED
    }
    assert acknowledged
    assert acknowledged <= stored
    assert [seq for seq, _ in log] == list(range(1, len(log) + 1))
    assert {event_id.hex() for _, event_id in log} == stored

"""Pools of connections to a real server: they grow, shrink, are replaced in use, and find the primary among hosts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections

from relay.background import BackgroundTasks
from relay.changes.change import Batch
from relay.conf import Life
from relay.storage import pool
from relay.storage.channel import Channel, integer
from relay.storage.database import connect
from relay.storage.explain import connected
from relay.storage.server import Server
from relay.storage.store import Store
from relay.storage.write_result import WriteOutcome
from relay.storage.writer import Writer
from tests.events import unsigned_event
from tests.integration.storage.scribe import Scribe, Tables, entry

pytestmark = pytest.mark.django_db

PATIENCE = 10.0
NAMES = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'relay pool%%'"


async def opened() -> Any:
    return await connect(application="relay pool", statement_seconds=5)


@pytest.fixture
async def server(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """One connection, up to five; each for 200 statements or until it was idle for a moment."""
    monkeypatch.setattr(pool, "LOOK_SECONDS", 0.01)
    made = Server(opened, 1, 5.0, BackgroundTasks(), most=5, life=Life(0.2, 0.0, 200))
    made.open()
    await made.until_connected(PATIENCE)
    yield made
    await made.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_pool_grows_while_queries_wait_and_shrinks_when_they_are_answered(
    server: Server, tables: Tables
) -> None:
    asked = [asyncio.ensure_future(server.fetch("SELECT pg_sleep(0.05)")) for _ in range(60)]
    await until(lambda: server.connected == 5)
    await asyncio.gather(*asked)
    await until(lambda: server.connected == 1)
    await until(lambda: len(tables.rows(NAMES)) == 1)


async def test_no_query_fails_while_connections_are_replaced_after_their_uses(server: Server) -> None:
    processes = set()
    for _ in range(30):
        rows = await asyncio.gather(*[server.fetch("SELECT pg_backend_pid()") for _ in range(60)])
        processes |= {integer(row[0][0]) for row in rows}
    assert len(processes) >= 5
    assert server.failures == 0


async def test_a_connection_is_named_by_its_role_and_instance(server: Server, tables: Tables, settings: Any) -> None:
    settings.RELAY_INSTANCE, settings.RELAY_WORKER = "é" * 100, "12"
    channel = Channel(await opened())
    (row,) = await channel.send(b"SHOW application_name", []).future
    channel.close("the test is over")
    assert row == (f"relay pool {'?' * 49}/12".encode(),)
    assert (f"relay pool {'?' * 49}/12".encode(),) not in tables.rows(NAMES), "it is closed"


async def test_the_host_that_accepts_writes_is_found_among_several(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    described = connections["default"].settings_dict
    several = {**described, "HOST": f"{tmp_path},{described['HOST']},{tmp_path}", "PORT": described["PORT"]}
    monkeypatch.setattr(connections["default"], "settings_dict", several)
    channel = Channel(await opened())
    assert await channel.send(b"SELECT 1", []).future
    channel.close("the test is over")

    monkeypatch.setattr(connections["default"], "settings_dict", {**several, "HOST": f"{tmp_path},{tmp_path}"})
    with pytest.raises(psycopg.OperationalError):
        await opened()


@pytest.mark.parametrize("way", ["transaction", "transaction-prepared"])
async def test_behind_a_pooler_settings_hold_for_a_statement_and_not_for_the_session(
    tables: Tables, settings: Any, way: str
) -> None:
    settings.RELAY_DATABASE_POOLER = way
    channel = Channel(await opened())
    for _ in range(3):
        (row,) = await channel.send(b"SELECT current_setting('statement_timeout'), $1::text", ["x"]).future
        assert row == (b"5s", b"x")
    with pytest.raises(psycopg.errors.DivisionByZero):
        await channel.send(b"SELECT 1 / $1::int", [0]).future
    (row,) = await channel.send(b"SELECT count(*) FROM pg_prepared_statements", []).future
    assert (integer(row[0]) > 0) is (way == "transaction-prepared")
    channel.prelude = b""
    (row,) = await channel.send(b"SHOW statement_timeout", []).future
    assert row == (b"0",)
    channel.close("the test is over")


async def test_behind_a_pooler_a_batch_is_refused_by_a_store_that_is_not_followed(
    tables: Tables, settings: Any
) -> None:
    settings.RELAY_DATABASE_POOLER = "transaction"
    scribe, seen = Scribe(), list[Store]()

    def is_followed(store: Store) -> bool:
        seen.append(store)
        return store == seen[0]

    committed: list[Batch] = []
    scribe.writer = Writer(committed.append, is_followed=is_followed, batch_events=5, queue_events=10, write_seconds=5)
    scribe.writer.start()
    assert await scribe.write(unsigned_event(content="before")) == [WriteOutcome.STORED]
    tables.rows("UPDATE relay_store SET epoch = epoch + 1 RETURNING 1")
    try:
        assert await scribe.write(unsigned_event(content="elsewhere")) == [WriteOutcome.FAILED]
        assert len(tables.ids()) == len(committed) == 1
        assert len(seen) == 1, "the connection is the one that was checked"
        assert await scribe.write(unsigned_event(content="again")) == [WriteOutcome.FAILED]
        assert len(seen) == 2
    finally:
        tables.rows("UPDATE relay_store SET epoch = epoch - 1 RETURNING 1")
        await scribe.writer.stop(5)


async def test_a_query_is_explained_by_postgresql_itself_and_by_no_pooler(tables: Tables, settings: Any) -> None:
    settings.RELAY_DATABASE_POOLER = "transaction"
    with pytest.raises(psycopg.NotSupportedError, match="DATABASE_URL must lead to PostgreSQL itself"):
        async with connected():
            pass


async def test_the_writer_replaces_its_connection_between_two_transactions(tables: Tables) -> None:
    scribe, stores = Scribe(), list[Store]()

    def is_followed(store: Store) -> bool:
        stores.append(store)
        return True

    scribe.writer = Writer(
        lambda batch: None,
        is_followed=is_followed,
        life=Life(uses=3),
        batch_events=1,
        queue_events=100,
        write_seconds=5,
    )
    scribe.writer.start()
    events = [unsigned_event(content=str(number)) for number in range(12)]
    assert await scribe.write(*events) == [WriteOutcome.STORED] * 12
    assert len(stores) == 4
    await scribe.writer.stop(5)


async def test_while_the_primary_is_gone_an_event_is_refused_without_an_attempt(tables: Tables) -> None:
    scribe, gone = Scribe(), True
    scribe.writer = Writer(lambda batch: None, is_gone=lambda: gone, batch_events=5, queue_events=10, write_seconds=5)
    scribe.writer.start()
    with pytest.raises(Exception, match="the database does not answer"):
        scribe.writer.submit(entry(unsigned_event()), lambda *_: None)
    assert not scribe.writer.connected
    gone = False
    assert await scribe.write(unsigned_event()) == [WriteOutcome.STORED]
    await scribe.writer.stop(5)

"""What leaves the database: expired events, and partitions of the log that are no longer needed."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection

from relay.changes.change import Removed
from relay.storage import retention
from relay.storage.database import conninfo
from relay.storage.partitions import steps
from relay.storage.primary import LogPruned, Primary
from relay.storage.write_result import WriteOutcome
from tests.events import NOW, unsigned_event
from tests.integration.storage.scribe import Json, Scribe, Tables

pytestmark = pytest.mark.django_db(transaction=True)

SIZE = 10


def resize(tables: Tables, size: int) -> None:
    """Give the log partitions of another size; it must be empty."""
    for name in partitions(tables):
        tables.connection.execute(f"DROP TABLE {name}")
    tables.connection.execute(
        "CREATE OR REPLACE FUNCTION relay_log_partition_size() RETURNS bigint "
        f"LANGUAGE sql IMMUTABLE AS $$ SELECT {size}::bigint $$"
    )
    tables.connection.execute("DISCARD PLANS")
    connection.close()  # its plans know the old size as well
    tables.rows("SELECT relay_log_make_room(0), relay_log_make_room(relay_log_partition_size())")


@pytest.fixture
def tables(database: Tables) -> Iterator[Tables]:
    """Partitions of ten changes."""
    database.clear()
    resize(database, SIZE)
    yield database
    database.clear()
    resize(database, 1_000_000)


def ending(number: int, seconds: int = -1, **fields: Any) -> Json:
    tags = [*fields.pop("tags", []), ["expiration", str(NOW + seconds)]]
    return unsigned_event(**{"content": str(number), "tags": tags, **fields})


def partitions(tables: Tables) -> list[str]:
    return sorted(
        name
        for (name,) in tables.rows(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'relay_change'::regclass"
        )
    )


async def fill(scribe: Scribe, count: int, first: int = 0) -> None:
    """Write `count` events, a few in each transaction."""
    for start in range(first, first + count, 5):
        await scribe.write(
            *[unsigned_event(content=f"{number}") for number in range(start, min(start + 5, first + count))]
        )


async def swept(now: int = NOW) -> int:
    return await asyncio.to_thread(_swept, now)


def _swept(now: int) -> int:
    try:
        return retention.sweep_expired(now)
    finally:
        connection.close()


async def pruned(keep: int) -> list[str]:
    return await asyncio.to_thread(_pruned, keep)


def _pruned(keep: int) -> list[str]:
    try:
        return retention.prune_change_log(keep)
    finally:
        connection.close()


async def test_40_3_expired_events_are_removed_with_their_tags(scribe: Scribe, tables: Tables) -> None:
    stays = [ending(1, seconds=1), unsigned_event(content="2", tags=[["t", "b"]])]
    await scribe.write(ending(3, tags=[["t", "a"]]), ending(4, seconds=0), *stays)
    assert await swept() == 2
    assert tables.ids() == {event["id"] for event in stays}
    assert [key for key, _ in tables.tags()] == [b"t\x00b"]
    tables.assert_consistent()


async def test_a_sweep_of_nothing_changes_nothing(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(ending(1, seconds=1))
    assert (await swept(), len(tables.log())) == (0, 1)


async def test_a_sweep_goes_on_until_nothing_expired_is_left(
    scribe: Scribe, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SWEEP_EVENTS", 3)
    await scribe.write(*[ending(number) for number in range(8)])
    assert await swept() == 8
    assert tables.ids() == set()
    tables.assert_consistent()


async def test_one_sweep_has_an_end(scribe: Scribe, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SWEEP_EVENTS", 2)
    monkeypatch.setattr(retention, "SWEEP_BATCHES", 3)
    await scribe.write(*[ending(number) for number in range(8)])
    assert (await swept(), await swept()) == (6, 2)


async def test_40_5_an_expired_head_keeps_its_place(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(ending(1, kind=0))
    await swept()
    older = unsigned_event(kind=0, content="older", created_at=NOW - 9)
    assert await scribe.write(older) == [WriteOutcome.OUTDATED]
    assert tables.ids() == set()


async def test_40_5_a_newer_version_takes_the_place_of_an_expired_one(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(ending(1, kind=0, created_at=NOW - 9))
    await swept()
    assert await scribe.write(unsigned_event(kind=0, content="newer")) == [WriteOutcome.STORED]
    assert [op for _, op, _ in tables.log()] == ["+", "-", "+"]
    tables.assert_consistent()


async def test_a_sweep_is_read_from_the_log_as_removals(scribe: Scribe, primary: Primary, tables: Tables) -> None:
    await scribe.write(ending(1), unsigned_event(content="2"))
    await swept()
    batch = await primary.changes_after(2)
    assert batch is not None
    assert list(batch.changes) == [Removed(3, ending(1)["id"])]


async def test_a_sweep_rolls_the_log_over(scribe: Scribe, tables: Tables) -> None:
    await fill(scribe, 4)
    await scribe.write(*[ending(number) for number in range(100, 104)])
    await swept()
    await fill(scribe, 12, first=200)
    tables.assert_consistent()


async def test_sweeps_and_writers_at_once_keep_the_order(scribe: Scribe, tables: Tables) -> None:
    done = threading.Event()

    def sweep_all_the_time() -> int:
        gone = 0
        while not done.is_set():
            gone += _swept(NOW)
        return gone + _swept(NOW)

    sweeping = asyncio.ensure_future(asyncio.to_thread(sweep_all_the_time))
    for number in range(12):
        versions = [ending(n, kind=10_002, created_at=NOW - 50 + number * 3 + n) for n in range(3)]
        await scribe.write(ending(100 + number, tags=[["t", "a"]]), *versions)
    done.set()
    assert await sweeping > 0
    tables.assert_consistent()
    assert tables.ids() == set()


async def test_the_log_rolls_over_without_a_gap(scribe: Scribe, primary: Primary, tables: Tables) -> None:
    await fill(scribe, 57)
    tables.assert_consistent()
    batch = await primary.changes_after(0)
    assert batch is not None
    assert batch.last == 57


async def test_a_partition_is_always_made_in_advance(scribe: Scribe, tables: Tables) -> None:
    await fill(scribe, 31)
    assert "relay_change_4" in partitions(tables)


async def test_two_writers_roll_the_log_over_at_once(scribe: Scribe, tables: Tables) -> None:
    other = Scribe()
    other.writer.start()
    await asyncio.gather(fill(scribe, 60), fill(other, 60, first=1_000))
    await other.writer.stop(5)
    tables.assert_consistent()
    assert len(tables.log()) == 120


async def test_old_partitions_are_dropped_and_reading_them_fails(
    scribe: Scribe, primary: Primary, tables: Tables
) -> None:
    await fill(scribe, 35)
    assert sorted(await pruned(keep=12)) == ["relay_change_0", "relay_change_1"]
    assert tables.log()[0][0] == 20
    with pytest.raises(LogPruned):
        await primary.changes_after(18)
    batch = await primary.changes_after(19)
    assert batch is not None
    assert batch.last == 35


@pytest.mark.parametrize("keep", [0, -100])
async def test_the_newest_change_always_stays(scribe: Scribe, tables: Tables, keep: int) -> None:
    await fill(scribe, 30)
    await pruned(keep)
    assert tables.log()[-1][0] == 30
    await fill(scribe, 3, first=30)
    assert tables.log()[-1][0] == 33


async def test_a_log_shorter_than_what_is_kept_loses_nothing(scribe: Scribe, tables: Tables) -> None:
    await fill(scribe, 35)
    assert await pruned(keep=1_000) == []
    tables.assert_consistent()


async def test_pruning_gives_way_to_a_reader_says_so_and_succeeds_the_next_time(
    scribe: Scribe, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PRUNE_TRIES", 2)
    await fill(scribe, 35)
    with tables.connection.transaction():
        tables.rows("SELECT count(*) FROM relay_change")
        with pytest.raises(steps.Busy):
            await pruned(keep=5)
    assert len(await pruned(keep=5)) == 3


async def test_pruning_succeeds_in_the_run_in_which_a_reader_ends(scribe: Scribe, tables: Tables) -> None:
    await fill(scribe, 35)
    with tables.connection.transaction():
        tables.rows("SELECT count(*) FROM relay_change")
        pruning = asyncio.create_task(pruned(keep=5))
        while not tables_are_waited_for():
            await asyncio.sleep(0.01)
    assert len(await pruning) == 3


def tables_are_waited_for() -> bool:
    """True while a transaction waits for a lock on the log."""
    with psycopg.connect(conninfo()) as watching:
        found = watching.execute(
            "SELECT FROM pg_locks WHERE NOT granted AND relation::regclass::text LIKE 'relay_change%'"
        )
        return found.fetchone() is not None


async def test_a_fault_that_no_wait_mends_ends_the_pruning_at_once(
    scribe: Scribe, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk was once taken for a reader, and the log grew without a word."""
    monkeypatch.setattr(steps, "RETRY_SECONDS", 3_600)
    tables.connection.execute(
        "CREATE FUNCTION relay_full() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$"
    )
    await fill(scribe, 35)
    tables.connection.execute("CREATE EVENT TRIGGER relay_full ON sql_drop EXECUTE FUNCTION relay_full()")
    try:
        with pytest.raises(OperationalError, match="no space left"):
            await pruned(keep=5)
    finally:
        tables.connection.execute("DROP EVENT TRIGGER relay_full")
        tables.connection.execute("DROP FUNCTION relay_full()")


async def test_positions_go_on_after_pruning(scribe: Scribe, primary: Primary, tables: Tables) -> None:
    await fill(scribe, 35)
    await pruned(keep=0)
    await scribe.write(unsigned_event(content="next"))
    assert await primary.position() == 36

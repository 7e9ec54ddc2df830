"""Tag rows of events that are gone: removed later, outside the order lock, and without delaying others."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection as django_connection

from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.storage import admin_queries, retention
from relay.storage.database import conninfo
from relay.storage.reads import Reads
from relay.storage.write_result import WriteOutcome
from tests.events import NOW, unsigned_event
from tests.integration.storage.scribe import Json, Scribe, Tables, entry

pytestmark = pytest.mark.django_db(transaction=True)

LIMITS = Limits(max_limit=10_000, default_limit=10_000)


def people(number: int, count: int, **fields: Any) -> Json:
    """Version `number` of a list of people."""
    tags = [["p", f"{person:064x}"] for person in range(count)]
    return unsigned_event(**{"kind": 3, "created_at": NOW - 100 + number, "tags": tags, **fields})


def remove(tables: Tables, *events: Json) -> None:
    """As every removal does: rows and changes in one transaction, under the lock."""
    with tables.connection.transaction():
        tables.connection.execute("SELECT relay_order_lock()")
        tables.connection.execute(
            "SELECT relay_log_append(array_agg('-'::\"char\"), array_agg(id), array_agg(created_at), 0) "
            "FROM relay_remove_events(%s)",
            [[bytes.fromhex(event["id"]) for event in events]],
        )


async def collected() -> int:
    return await asyncio.to_thread(_collected)


def _collected() -> int:
    try:
        return retention.collect_tags()
    finally:
        django_connection.close()


@contextmanager
def locked_tag_rows(tables: Tables, event: Json) -> Iterator[None]:
    """Another transaction has the event's tag rows locked: a transaction that removes them waits."""
    with psycopg.connect(conninfo()) as other:
        found = other.execute(
            "SELECT FROM relay_tag WHERE event_id = %s FOR UPDATE", [bytes.fromhex(event["id"])]
        ).rowcount
        assert found == len(event["tags"])
        yield
        other.rollback()


async def test_a_list_is_replaced_without_waiting_for_its_tag_rows(scribe: Scribe, tables: Tables) -> None:
    """Removing them under the order lock would hold up every writer of every instance."""
    old, new = people(1, 50), people(2, 0)
    await scribe.write(old)
    with locked_tag_rows(tables, old):
        assert await asyncio.wait_for(scribe.write(new), 3) == [WriteOutcome.STORED]
        assert await asyncio.wait_for(scribe.write(unsigned_event(content="a note")), 3) == [WriteOutcome.STORED]
    assert len(tables.tags(stored=False)) == 50
    tables.assert_consistent()


async def test_writers_go_on_while_tag_rows_are_removed(scribe: Scribe, tables: Tables) -> None:
    old = people(1, 50)
    await scribe.write(old)
    await scribe.write(people(2, 0))
    with locked_tag_rows(tables, old):
        collecting = asyncio.ensure_future(collected())
        await waits_for_a_lock(tables)
        assert await asyncio.wait_for(scribe.write(unsigned_event(content="a note")), 3) == [WriteOutcome.STORED]
        assert not collecting.done()
    assert await collecting == 50


async def test_a_sweep_reads_before_it_takes_the_lock(scribe: Scribe, tables: Tables) -> None:
    """It finds nothing and so never asks for the lock that another one holds."""
    with tables.connection.transaction():
        tables.connection.execute("SELECT relay_order_lock()")
        assert await asyncio.wait_for(asyncio.to_thread(retention.sweep_expired, NOW), 3) == 0


async def waits_for_a_lock(tables: Tables) -> None:
    async with asyncio.timeout(5):
        while not tables.rows(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%relay_collect_tags%%'"
        ):
            await asyncio.sleep(0.01)


async def test_tag_rows_of_removed_events_match_nothing(scribe: Scribe, reads: Reads, tables: Tables) -> None:
    old, new = people(1, 3), people(2, 2)
    await scribe.write(old)
    await scribe.write(new)
    flt = parse_filter({"#p": [f"{2:064x}"]}, LIMITS)
    assert len(tables.tags(stored=False)) == 3
    assert list((await reads.query([flt])).events) == []


async def test_responses_are_counted_by_stored_events(scribe: Scribe, tables: Tables) -> None:
    target = unsigned_event(content="target")
    answers = [unsigned_event(content=f"answer {n}", tags=[["e", target["id"]]]) for n in range(3)]
    await scribe.write(target, *answers)
    remove(tables, answers[0])
    found = await asyncio.to_thread(_responses, target["id"])
    assert (found.by_kind, found.looked_at) == ({1: 2}, 2)


def _responses(event_id: str) -> admin_queries.Responses:
    try:
        return admin_queries.responses(event_id)
    finally:
        django_connection.close()


async def test_all_tag_rows_go_in_small_steps(scribe: Scribe, tables: Tables) -> None:
    for number in range(4):
        await scribe.write(people(number, 25))
    steps = []
    while removed := tables.rows("SELECT relay_collect_tags(10)")[0][0]:
        steps.append(removed)
        tables.assert_consistent()
    assert steps == [10, 10, 10, 10, 10, 10, 10, 5]
    assert tables.tags(stored=False) == []
    assert tables.rows("SELECT FROM relay_tag_garbage") == []
    assert len(tables.tags()) == 25


async def test_an_event_that_comes_back_before_its_tag_rows_are_removed_has_each_once(
    scribe: Scribe, reads: Reads, tables: Tables
) -> None:
    event = unsigned_event(content="back", tags=[["t", "a"], ["t", "b"]])
    await scribe.write(event)
    remove(tables, event)
    assert await scribe.write(event) == [WriteOutcome.STORED]
    tables.assert_consistent()
    flt = parse_filter({"#t": ["a"]}, LIMITS)
    assert len((await reads.query([flt])).events) == 1
    assert await collected() == 0
    assert len(tables.tags()) == 2


async def test_an_event_that_comes_back_while_its_tag_rows_are_removed_keeps_its_own(
    scribe: Scribe, tables: Tables
) -> None:
    event = unsigned_event(content="back", tags=[["t", str(number)] for number in range(20)])
    await scribe.write(event)
    remove(tables, event)
    with psycopg.connect(conninfo()) as other:
        other.execute("SELECT relay_collect_tags(7)")
        writing = scribe.submit(entry(event))
        await waits_for(tables, "relay_write")
        other.commit()
    assert await writing == WriteOutcome.STORED
    tables.assert_consistent()
    assert len(tables.tags()) == 20


async def waits_for(tables: Tables, what: str) -> None:
    async with asyncio.timeout(5):
        while not tables.rows(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s", f"%{what}%"
        ):
            await asyncio.sleep(0.01)


async def test_events_that_come_and_go_while_collectors_run_leave_no_row_too_many(
    scribe: Scribe, tables: Tables
) -> None:
    """Against the plainest oracle: after all of it, tag rows are exactly those of the stored events."""
    chance = random.Random(2)
    events = [unsigned_event(content=str(n), tags=[["t", f"{n} {tag}"] for tag in range(30)]) for n in range(12)]
    done = asyncio.Event()

    async def collect() -> None:
        while not done.is_set():
            await asyncio.to_thread(_step)

    collectors = [asyncio.ensure_future(collect()) for _ in range(2)]
    for _ in range(40):
        await scribe.write(*chance.sample(events, 6))
        chosen = chance.sample(events, 4)
        if stored := [event for event in chosen if event["id"] in tables.ids()]:
            remove(tables, *stored)
    done.set()
    await asyncio.gather(*collectors)
    tables.assert_consistent()
    await collected()
    assert tables.tags(stored=False) == []
    assert len(tables.tags()) == 30 * len(tables.ids())


def _step() -> None:
    with psycopg.connect(conninfo(), autocommit=True) as other:
        other.execute("SELECT relay_collect_tags(17)")

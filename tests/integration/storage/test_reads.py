"""Queries on the real database: positions, limits, what is never served, and a database that does not answer."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from relay.protocol.errors import Failed
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.storage.primary import LogPruned, Primary
from relay.storage.reads import Reads
from relay.storage.server import PIPELINE
from tests.events import NOW, unsigned_event
from tests.integration.storage.scribe import Json, Scribe, Tables, wait_until_answering

pytestmark = pytest.mark.django_db

LIMITS = Limits(max_limit=6, default_limit=3)


def parse(*wanted: Json) -> list[Filter]:
    return [parse_filter(one, LIMITS) for one in wanted]


def note(number: int, age: int = 0, **fields: Any) -> Json:
    return unsigned_event(content=str(number), created_at=NOW - age, **fields)


async def found(reads: Reads, *wanted: Json) -> list[Json]:
    return [msgspec.json.decode(text) for text in (await reads.query(parse(*wanted))).events]  # type: ignore[arg-type]


async def test_an_empty_log_has_position_0(reads: Reads) -> None:
    result = await reads.query(parse({}))
    assert (result.position, list(result.events)) == (0, [])


@pytest.mark.parametrize("wanted", [{"limit": 0}, {"ids": []}, {"since": 2, "until": 1}, {"kinds": [9]}])
async def test_a_query_without_rows_has_a_position(scribe: Scribe, reads: Reads, wanted: Json) -> None:
    await scribe.write(note(1), note(2))
    result = await reads.query(parse(wanted))
    assert (result.position, list(result.events)) == (2, [])


async def test_an_empty_log_has_no_changes_after_0(primary: Primary) -> None:
    assert await primary.changes_after(0) is None


async def test_the_heartbeat_returns_the_newest_number(scribe: Scribe, primary: Primary) -> None:
    before = await primary.heartbeat()
    await scribe.write(note(1), note(2))
    now = await primary.heartbeat()
    assert (now.position, now.store) == (before.position + 2, before.store)


async def test_the_log_is_read_in_pages(scribe: Scribe, primary: Primary) -> None:
    await scribe.write(*[note(number) for number in range(5)])
    page = await primary.changes_after(1, limit=3)
    assert page is not None
    assert (page.first, page.last, [change.seq for change in page.changes]) == (2, 4, [2, 3, 4])


async def test_reading_a_pruned_part_of_the_log_fails(scribe: Scribe, primary: Primary, tables: Tables) -> None:
    await scribe.write(*[note(number) for number in range(5)])
    tables.rows("DELETE FROM relay_change WHERE seq < 4 RETURNING seq")
    with pytest.raises(LogPruned):
        await primary.changes_after(2)
    assert await primary.changes_after(3) is not None


async def test_01_f18_the_relays_cap_takes_the_whole_boundary_second(scribe: Scribe, reads: Reads) -> None:
    events = [note(0), note(1), *[note(number, age=5) for number in range(2, 5)], note(9, age=9)]
    await scribe.write(*events)
    assert len(await found(reads, {})) == 5
    assert len(await found(reads, {"limit": 3})) == 3


async def test_01_f18_the_boundary_second_is_cut_at_twice_the_cap(scribe: Scribe, reads: Reads) -> None:
    await scribe.write(*[note(number) for number in range(20)])
    assert (len(await found(reads, {})), len(await found(reads, {"limit": 50}))) == (6, 6)


async def test_01_f14_filters_of_one_req_are_merged_in_one_order(scribe: Scribe, reads: Reads) -> None:
    events = [note(number, age=number, kind=1 + number % 2) for number in range(6)]
    await scribe.write(*events)
    ids = [event["id"] for event in await found(reads, {"kinds": [1]}, {"kinds": [2]}, {"kinds": [1, 2], "limit": 2})]
    assert ids == [event["id"] for event in events]


@pytest.mark.parametrize("seconds", [-1, 0])
async def test_40_2_what_expires_is_gone_in_that_second(scribe: Scribe, reads: Reads, seconds: int) -> None:
    ending = note(1, tags=[["expiration", str(int(time.time()) + seconds)]])
    await scribe.write(ending, note(2))
    for wanted in ({}, {"ids": [ending["id"]]}, {"kinds": [1]}, {"authors": [ending["pubkey"]]}):
        assert [event["content"] for event in await found(reads, wanted)] in (["2"], [])


async def test_many_queries_wait_for_few_connections(scribe: Scribe, reads: Reads) -> None:
    await scribe.write(note(1))
    results = await asyncio.gather(*[reads.query(parse({"limit": number % 4})) for number in range(300)])
    assert {(result.position, len(result.events)) for result in results} == {(1, 0), (1, 1)}


async def test_01_s11_a_query_beyond_its_time_is_refused(tables: Tables) -> None:
    reads = Reads.of_primary(1, 0.3)
    reads.open()
    try:
        await wait_until_answering(reads)
        with pytest.raises(Failed, match="query timed out"):
            await reads.fetch("SELECT pg_sleep(20)")
        assert len(await wait_until_answering(reads)) == 1
    finally:
        await reads.close()


async def test_a_cancelled_query_does_not_affect_the_others(scribe: Scribe, reads: Reads) -> None:
    await scribe.write(*[note(number) for number in range(4)])
    for turn in range(60):
        asking = [asyncio.ensure_future(found(reads, {"limit": number})) for number in (1, 2, 3)]
        await asyncio.sleep(0.0005 * (turn % 5))
        asking[turn % 3].cancel()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        for number, answer in enumerate(answers, 1):
            assert isinstance(answer, asyncio.CancelledError) or len(answer) == number  # type: ignore[arg-type]


async def test_a_refused_statement_does_not_affect_the_others(reads: Reads) -> None:
    asked = ["SELECT 1", "SELECT 1/0", "SELECT no_such_column", "SELECT 2", "SELECT 1/0"]
    for _ in range(3):
        answers = await asyncio.gather(*[reads.fetch(text) for text in asked], return_exceptions=True)
        assert [isinstance(answer, Failed) for answer in answers] == [False, True, True, False, True]


async def test_01_s11_a_server_that_ends_every_session_is_asked_again(
    scribe: Scribe, reads: Reads, tables: Tables
) -> None:
    await scribe.write(note(1))
    await wait_until_answering(reads)
    tables.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'relay read %%'")
    await wait_until_answering(reads)
    assert len(await found(reads, {})) == 1


async def test_a_waiting_query_is_sent_after_cancelled_ones(reads: Reads) -> None:
    """The answers to cancelled queries make room too: a waiting query needs no new one to be sent."""
    async with asyncio.timeout(10):
        while reads.connected < 2:
            await asyncio.sleep(0.01)
    gone = [asyncio.ensure_future(reads.fetch("SELECT pg_sleep(0.1)")) for _ in range(2 * PIPELINE)]
    waiting = asyncio.ensure_future(reads.fetch("SELECT 7::integer"))
    await asyncio.sleep(0)
    assert reads.waiting == 1
    for query in gone:
        query.cancel()
    seven, _ = await asyncio.wait_for(waiting, 3)
    assert seven == 7

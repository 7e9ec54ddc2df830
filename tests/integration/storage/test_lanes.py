"""Expensive queries do not delay quick ones, no owner delays another, and a query that no client waits for is ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

import pytest

from relay.protocol.errors import Failed, RateLimited
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.storage import lanes
from relay.storage.fair_queue import Bounds
from relay.storage.query_cost import QUICK_MS, Cost
from relay.storage.reads import Reads
from relay.storage.request import Row
from tests.integration.storage.scribe import Tables, wait_until_answering

pytestmark = pytest.mark.django_db

QUICK = Cost(1.0, True)
SMALL = Cost(0.1, True, [parse_filter({"ids": ["0" * 64]}, Limits())])
UNCERTAIN = Cost(5.0, False)
EXPENSIVE = Cost(QUICK_MS + 1, False)
ANSWER = "SELECT 0::bigint"
LONG = "SELECT 0::bigint, pg_sleep(30)"
RUNNING = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE application_name LIKE 'relay read %%' AND query = %s AND state = 'active'"
)
PATIENCE = 10.0
"""Seconds after which a test gives up; a third of what an expensive statement would take."""


@pytest.fixture
async def reads(tables: Tables) -> AsyncIterator[Reads]:
    made = Reads.of_primary(3, 60.0, bounds=Bounds(owner_statements=20))
    made.open()
    await wait_until_answering(made)
    await made.until_connected(PATIENCE)
    yield made
    await made.close()
    tables.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'relay read %%'")


def ask(reads: Reads, text: str, owner: str, cost: Cost) -> "asyncio.Task[tuple[int, list[Row]]]":
    return asyncio.ensure_future(reads.fetch(text, owner=owner, cost=cost))


async def leave(asked: "list[asyncio.Task[tuple[int, list[Row]]]]") -> None:
    for question in asked:
        question.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def until_running(tables: Tables, text: str, number: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while tables.rows(RUNNING, text) != [(number,)]:
            await asyncio.sleep(0.02)


async def test_quick_queries_are_answered_while_expensive_ones_fill_their_lane(reads: Reads, tables: Tables) -> None:
    flood = [ask(reads, LONG, "flood", EXPENSIVE) for _ in range(15)]
    await until_running(tables, LONG, 1)
    async with asyncio.timeout(PATIENCE):
        for _ in range(50):
            await ask(reads, ANSWER, "other", QUICK)
            await ask(reads, ANSWER, "flood", QUICK)
    await leave(flood)


async def test_an_expensive_query_of_another_owner_has_its_turn_before_the_flood_has_ended(
    reads: Reads, tables: Tables
) -> None:
    flood = [ask(reads, LONG, "flood", EXPENSIVE) for _ in range(15)]
    await until_running(tables, LONG, 1)
    async with asyncio.timeout(PATIENCE):
        await ask(reads, ANSWER, "other", EXPENSIVE)
    assert sum(question.done() for question in flood) <= 2
    await leave(flood)


async def test_a_query_that_only_looks_quick_delays_others_for_a_moment_and_is_then_expensive(
    reads: Reads, tables: Tables
) -> None:
    flood = [ask(reads, LONG, "flood", UNCERTAIN) for _ in range(10)]
    async with asyncio.timeout(PATIENCE):
        for _ in range(20):
            await ask(reads, ANSWER, "other", QUICK)
        while reads.asked_again < 2:
            await asyncio.sleep(0.02)
    asked_again = reads.asked_again
    await leave(flood)
    last = ask(reads, LONG, "flood", UNCERTAIN)
    await until_running(tables, LONG, 1)
    assert reads.asked_again == asked_again, "it went to the other lane at once"
    await leave([last])


async def test_a_query_too_long_for_the_quick_lane_is_answered_all_the_same(reads: Reads) -> None:
    seconds = 2 * lanes.QUICK_SECONDS
    failures = reads.failures
    position, rows = await ask(reads, f"SELECT 7::bigint, pg_sleep({seconds})", "slow", UNCERTAIN)
    assert (position, len(rows)) == (7, 1)
    assert reads.asked_again == 1
    assert reads.failures == failures


async def test_an_expensive_query_whose_caller_has_left_ends_at_the_server(reads: Reads, tables: Tables) -> None:
    leaving = ask(reads, LONG, "one", EXPENSIVE)
    await until_running(tables, LONG, 1)
    leaving.cancel()
    await until_running(tables, LONG, 0)
    async with asyncio.timeout(PATIENCE):
        await ask(reads, ANSWER, "one", EXPENSIVE)
    assert reads.cancelled == 1


async def test_ending_one_query_never_ends_the_next_one(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is left while PostgreSQL is about to answer it, so that the request to end it comes late."""
    monkeypatch.setattr("relay.storage.overdue.CANCEL_AFTER_SECONDS", 0.0)
    for turn in range(60):
        leaving = ask(reads, "SELECT 0::bigint, pg_sleep(0.003)", "one", EXPENSIVE)
        await asyncio.sleep(0.001 + 0.00005 * turn)
        leaving.cancel()
        position, _ = await ask(reads, "SELECT 5::bigint, pg_sleep(0.002)", "two", EXPENSIVE)
        assert position == 5
        with suppress(asyncio.CancelledError):
            await leaving


async def test_queries_that_were_left_do_not_wait(reads: Reads, tables: Tables) -> None:
    first = ask(reads, LONG, "one", EXPENSIVE)
    await until_running(tables, LONG, 1)
    waiting = [ask(reads, LONG, "one", EXPENSIVE) for _ in range(20)]
    await asyncio.sleep(0)
    assert reads.waiting == 20
    await leave(waiting)
    assert (reads.waiting, reads.waiting_bytes) == (0, 0)
    await leave([first])


async def test_an_owner_may_have_so_many_waiting_and_another_one_as_many(reads: Reads, tables: Tables) -> None:
    begin = partial(ask, reads, LONG, cost=EXPENSIVE)
    asked = [begin(owner="one") for _ in range(21)]
    await asyncio.sleep(0)
    with pytest.raises(RateLimited, match="too many of your queries wait"):
        await begin(owner="one")
    another = begin(owner="two")
    await asyncio.sleep(0)
    assert not another.done()
    assert reads.refused == 1
    await leave([*asked, another])


async def test_01_s11_an_expensive_query_beyond_its_time_is_refused(tables: Tables) -> None:
    reads = Reads.of_primary(1, 0.3)
    reads.open()
    try:
        await reads.until_connected(PATIENCE)
        with pytest.raises(Failed, match="query timed out"):
            await ask(reads, LONG, "one", EXPENSIVE)
    finally:
        await reads.close()


async def test_small_queries_that_come_while_one_runs_share_a_transaction(
    reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "LONG_GROUP_SECONDS", PATIENCE)
    begun = "SELECT 1::bigint, extract(epoch FROM now())::text"
    first = ask(reads, f"{begun}, pg_sleep(0.05)", "one", SMALL)
    await asyncio.sleep(0.01)
    later = [ask(reads, begun, owner, SMALL) for owner in ("one", "one", "two", "two")]
    times = [rows[0][1] for _, rows in await asyncio.gather(first, *later)]
    assert len(set(times[1:])) == 1
    assert times[0] != times[1]


async def test_a_small_query_that_fails_costs_no_other_its_answer(reads: Reads) -> None:
    asked = [ask(reads, f"SELECT {number}::bigint / {number % 3}", "one", SMALL) for number in range(9)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    found = [answer[0] if isinstance(answer, tuple) else type(answer) for answer in answers]
    assert found == [number // (number % 3) if number % 3 else Failed for number in range(9)]


async def test_a_query_behind_one_that_failed_is_answered_whatever_else_its_owner_has_waiting(reads: Reads) -> None:
    others = [ask(reads, "SELECT 0::bigint, pg_sleep(0.05)", "one", QUICK) for _ in range(24)]
    failing = ask(reads, "SELECT 0::bigint / 0", "two", SMALL)
    behind = ask(reads, "SELECT 7::bigint", "one", SMALL)
    with pytest.raises(Failed):
        await failing
    assert (await behind)[0] == 7
    assert reads.refused == 0
    await leave(others)


async def test_small_queries_beyond_a_group_take_other_connections(reads: Reads, tables: Tables) -> None:
    sleeping = "SELECT 0::bigint, pg_sleep(0.3)"
    asked = [ask(reads, sleeping, f"{number}", SMALL) for number in range(2 * lanes.GROUP + 1)]
    await until_running(tables, sleeping, 2)
    await leave(asked)

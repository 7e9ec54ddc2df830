"""A channel to PostgreSQL: what is prepared on the server and what the channel believes to be are the same."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from relay.storage import channel as module
from relay.storage.channel import Channel, Skipped, integer
from relay.storage.database import OF_CLIENTS, connect, conninfo
from relay.storage.request import Request, Shared
from tests.integration.storage.scribe import Tables

pytestmark = pytest.mark.django_db

PREPARED = b"SELECT count(*) FROM pg_prepared_statements"


@pytest.fixture
async def channel(tables: Tables) -> AsyncIterator[Channel]:
    made = Channel(await connect(application="relay test", statement_seconds=5))
    yield made
    made.close("the test is over")


async def prepared(channel: Channel) -> int:
    ((count,),) = await channel.send(PREPARED, ()).future
    return integer(count)


async def test_a_statement_whose_first_execution_failed_is_prepared_once(channel: Channel) -> None:
    before = await prepared(channel)
    for _ in range(5):
        with pytest.raises(psycopg.errors.DivisionByZero):
            await channel.send(b"SELECT 1 / $1::integer", (0,)).future
    assert await prepared(channel) == before + 1
    ((one,),) = await channel.send(b"SELECT 1 / $1::integer", (1,)).future
    assert integer(one) == 1
    assert await prepared(channel) == before + 1


async def test_a_statement_that_cannot_be_prepared_is_tried_again(channel: Channel) -> None:
    before = await prepared(channel)
    for _ in range(3):
        with pytest.raises(psycopg.errors.UndefinedColumn):
            await channel.send(b"SELECT no_such_column", ()).future
    assert await prepared(channel) == before


BEGUN = b"SELECT extract(epoch FROM now())::text WHERE $1::integer > 0"
"""When the transaction of the statement has begun."""


def grouped(channel: Channel, text: bytes, *parameters: int) -> Request:
    return channel.send(text, parameters, grouped=True)


async def test_statements_of_one_turn_share_a_transaction_and_have_their_own_answers(channel: Channel) -> None:
    numbers = [grouped(channel, b"SELECT $1::integer", number) for number in range(5)]
    times = [grouped(channel, BEGUN, number) for number in range(4)]
    assert [integer((await each.future)[0][0]) for each in numbers] == [0, 1, 2, 3, 4]
    assert [len(await each.future) for each in times] == [0, 1, 1, 1]
    assert len({(await each.future)[0][0] for each in times[1:]}) == 1


async def test_a_statement_by_itself_shares_no_transaction(channel: Channel) -> None:
    first = grouped(channel, BEGUN, 1)
    second = channel.send(BEGUN, (1,))
    third = grouped(channel, BEGUN, 1)
    assert len({(await each.future)[0][0] for each in (first, second, third)}) == 3


@pytest.mark.parametrize("wrong", [b"SELECT 1 / $1::integer", b"SELECT $1::integer FROM nowhere"])
async def test_one_that_fails_ends_those_behind_it_in_its_group_and_no_other(channel: Channel, wrong: bytes) -> None:
    before = await prepared(channel)
    right = b"SELECT 7 + $1::integer"
    first, failing, behind = grouped(channel, right, 1), grouped(channel, wrong, 0), grouped(channel, BEGUN, 1)
    later = channel.send(right, (2,))
    assert integer((await first.future)[0][0]) == 8
    with pytest.raises((psycopg.errors.DivisionByZero, psycopg.errors.UndefinedTable)):
        await failing.future
    with pytest.raises(Skipped):
        await behind.future
    assert integer((await later.future)[0][0]) == 9
    assert len(await grouped(channel, BEGUN, 1).future) == 1
    assert await prepared(channel) == before + (3 if b"nowhere" not in wrong else 2)


async def test_a_statement_is_deallocated_though_the_group_of_its_deallocation_was_skipped(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await prepared(channel)
    monkeypatch.setattr(module, "MAX_STATEMENTS", len(channel._statements) + 3)
    for number in range(3):
        await grouped(channel, b"SELECT %d + $1::integer" % number, 0).future
    for number in range(100, 105):
        failing = grouped(channel, b"SELECT 1 / $1::integer", 0)
        behind = [grouped(channel, b"SELECT %d + $1::integer" % each, 0) for each in (number, number + 100)]
        with pytest.raises(psycopg.errors.DivisionByZero):
            await failing.future
        for each in behind:
            with pytest.raises(Skipped):
                await each.future
    for number in range(300, 303):
        await grouped(channel, b"SELECT %d + $1::integer" % number, 0).future
    assert await prepared(channel) == before + 3


@pytest.fixture
async def of_clients(tables: Tables) -> AsyncIterator[Channel]:
    made = Channel(await connect(application="relay test", statement_seconds=5, **OF_CLIENTS))
    yield made
    made.close("the test is over")


WHICH = "pg_current_snapshot()::text"


def shares(channel: Channel, number: int, columns: str = WHICH) -> Request:
    """A query of one shared column, and one of its own."""
    rest = Shared(f"SELECT $1::integer + 10 WHERE {WHICH} IS NOT NULL".encode(), 1)
    return channel.send(f"SELECT {columns}, $1::integer".encode(), (number,), grouped=True, shared=rest)


async def test_the_first_statement_of_a_group_has_the_shared_columns_for_all_of_it(of_clients: Channel) -> None:
    for _ in range(2):  # each group has a first statement of its own
        (first,), (second,), (third,) = [await shares(of_clients, number).future for number in range(3)]
        assert [integer(row[1]) for row in (first, second, third)] == [0, 1, 2]  # each was alone in its turn
        requests = [shares(of_clients, number) for number in range(3)]
        rows = [(await request.future)[0] for request in requests]
        assert [integer(row[1]) for row in rows] == [0, 11, 12]
        assert len({row[0] for row in rows}) == 1


async def test_what_is_committed_between_the_statements_of_a_group_is_seen_by_none_of_them(of_clients: Channel) -> None:
    with psycopg.connect(conninfo(), autocommit=True) as other:
        other.execute("CREATE TABLE IF NOT EXISTS committed_meanwhile (number integer)")
        try:
            count, slow = b"SELECT count(*) FROM committed_meanwhile", b"SELECT pg_advisory_lock_shared(77)::text"
            other.execute("SELECT pg_advisory_lock(77)")
            before, waits, after = [of_clients.send(text, (), grouped=True) for text in (count, slow, count)]
            async with asyncio.timeout(5):
                while not _is_waiting(other):
                    await asyncio.sleep(0.01)
            other.execute("INSERT INTO committed_meanwhile VALUES (1)")
            other.execute("SELECT pg_advisory_unlock(77)")
            await waits.future
            assert [integer((await each.future)[0][0]) for each in (before, after)] == [0, 0]
            assert integer((await of_clients.send(count, ()).future)[0][0]) == 1
        finally:
            other.execute("DROP TABLE committed_meanwhile")


def _is_waiting(database: "psycopg.Connection[Any]") -> bool:
    row = database.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()
    return row is not None and row[0] > 0


async def test_statements_share_with_a_first_one_whose_caller_has_left(of_clients: Channel) -> None:
    first, second = shares(of_clients, 0), shares(of_clients, 1)
    first.future.cancel()
    ((snapshot, number),) = await second.future
    assert snapshot is not None
    assert integer(number) == 11


async def test_a_statement_without_shared_columns_leads_no_group(of_clients: Channel) -> None:
    other = of_clients.send(b"SELECT 'other'", (), grouped=True)
    first, second = shares(of_clients, 0), shares(of_clients, 1)
    assert (await other.future)[0] == (b"other",)
    assert [integer((await each.future)[0][1]) for each in (first, second)] == [0, 11]


async def test_those_behind_a_failed_first_statement_are_skipped(of_clients: Channel) -> None:
    first, second = shares(of_clients, 0, "(1 / ($1::integer))::text"), shares(of_clients, 1)
    with pytest.raises(psycopg.errors.DivisionByZero):
        await first.future
    with pytest.raises(Skipped):
        await second.future


async def test_nothing_is_shared_where_each_statement_has_a_snapshot_of_its_own(channel: Channel) -> None:
    requests = [shares(channel, number) for number in range(3)]
    assert [integer((await each.future)[0][1]) for each in requests] == [0, 1, 2]


async def test_statements_are_deallocated_when_their_texts_are_too_long_together(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await prepared(channel)
    texts = [b"SELECT %d + $1::integer -- " % number + b"x" * 200 for number in range(8)]
    kept = sum(map(len, channel._statements)) + sum(map(len, texts[:3]))
    monkeypatch.setattr(module, "MAX_STATEMENTS_BYTES", kept)
    for text in texts:
        await channel.send(text, (0,)).future
        await channel.send(PREPARED, ()).future  # used again and again, so it stays
    assert await prepared(channel) == before + 3
    longer = b"SELECT 8 + $1::integer -- " + b"x" * 500
    assert integer((await channel.send(longer, (1,)).future)[0][0]) == 9
    assert await prepared(channel) == before + 1
    assert sum(map(len, channel._statements)) <= kept


async def test_a_long_statement_is_answered_without_being_prepared(channel: Channel) -> None:
    before = await prepared(channel)
    text = b"SELECT 1 + $1::integer -- " + b"x" * module.MAX_PREPARED_BYTES
    numbers = [channel.send(text, (1,)), grouped(channel, text, 2), grouped(channel, text, 3)]
    assert [integer((await each.future)[0][0]) for each in numbers] == [2, 3, 4]
    assert await prepared(channel) == before

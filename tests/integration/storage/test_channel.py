"""A channel to PostgreSQL: what is prepared on the server and what the channel believes to be are the same."""

from collections.abc import AsyncIterator

import psycopg
import pytest

from relay.storage import channel as module
from relay.storage.channel import Channel, Request, Skipped, integer
from relay.storage.database import connect
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

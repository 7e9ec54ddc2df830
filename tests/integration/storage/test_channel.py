"""A channel to PostgreSQL: what is prepared on the server and what the channel believes to be are the same."""

from collections.abc import AsyncIterator

import psycopg
import pytest

from relay.storage.channel import Channel, integer
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

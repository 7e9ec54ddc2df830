"""How many connections a server has, over connections that the test answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.background import BackgroundTasks
from relay.conf import Life
from relay.protocol.errors import Failed
from relay.storage import pool
from relay.storage.link import Statement
from relay.storage.server import PIPELINE, Server
from tests.unit.storage.channel import Channel

LONG = 1_000.0
FOR_EVER = Life(LONG, 0.0, 0)


class Database:
    """Makes connections, as many as `room`, and knows them."""

    def __init__(self) -> None:
        self.made: list[Channel] = []
        self.room = 100

    async def connect(self) -> Any:
        if sum(not channel.closed.done() for channel in self.made) >= self.room:
            raise psycopg.OperationalError("sorry, too many clients already")
        return None

    def channel(self, connection: object) -> Channel:
        self.made.append(Channel(connection))
        return self.made[-1]

    def answer_all(self) -> int:
        """Answer everything that is under way; returns how much that was."""
        count = 0
        for channel in self.made:
            while channel.requests:
                channel.answer()
                count += 1
        return count

    @asynccontextmanager
    async def server(self, least: int, most: int, life: Life = FOR_EVER) -> AsyncIterator[Server]:
        made = Server(self.connect, least, LONG, BackgroundTasks(), most=most, life=life)
        made.open()
        await until(lambda: made.connected == least)
        yield made
        await made.close()


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    made = Database()
    monkeypatch.setattr(pool, "Channel", made.channel)
    monkeypatch.setattr(pool, "GROW_SECONDS", 0.001)
    monkeypatch.setattr(pool, "REFUSED_SECONDS", 0.001)
    monkeypatch.setattr(pool, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(pool, "LOOK_SECONDS", 0.001)
    return made


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


def ask(server: Server, count: int) -> "list[asyncio.Task[Any]]":
    return [asyncio.ensure_future(server.fetch("SELECT")) for _ in range(count)]


async def finish(database: Database, asked: "list[asyncio.Task[Any]]") -> None:
    while not all(each.done() for each in asked):
        database.answer_all()
        await asyncio.sleep(0)
    await asyncio.gather(*asked)


async def test_a_pool_grows_while_statements_wait_and_no_further_than_its_greatest_number(database: Database) -> None:
    async with database.server(1, 3) as server:
        asked = ask(server, 10 * PIPELINE)
        await until(lambda: server.connected == 3)
        assert server.waiting == 7 * PIPELINE
        await finish(database, asked)
        assert server.connected == 3


async def test_a_burst_that_fits_the_pipelines_makes_no_connection(database: Database) -> None:
    async with database.server(2, 8) as server:
        asked = ask(server, 2 * PIPELINE)
        await asyncio.sleep(0)
        assert server.waiting == 0
        await finish(database, asked)
        assert len(database.made) == 2


async def test_connections_beyond_the_least_number_are_closed_when_they_are_idle(database: Database) -> None:
    async with database.server(1, 3, Life(0.01, 0.0, 0)) as server:
        asked = ask(server, 10 * PIPELINE)
        await until(lambda: server.connected == 3)
        await finish(database, asked)
        await until(lambda: server.connected == 1)
        assert not database.made[0].closed.done()


async def test_a_refused_connection_leaves_the_statements_to_those_that_are_there(database: Database) -> None:
    database.room = 1
    async with database.server(1, 3) as server:
        asked = ask(server, 5 * PIPELINE)
        await until(lambda: server.connect_failures)
        await finish(database, asked)
        assert server.connected == 1
        assert server.failures == 0


async def test_a_connection_is_replaced_after_its_uses_and_no_statement_fails(database: Database) -> None:
    async with database.server(1, 1, Life(LONG, 0.0, 5)) as server:
        for _ in range(4):
            await finish(database, ask(server, 5))
        await until(lambda: len(database.made) >= 2 and server.connected == 1)
        assert database.made[0].closed.result() == "not needed any more"
        assert server.failures == 0


async def test_a_worn_connection_answers_what_is_under_way_before_it_is_closed(database: Database) -> None:
    async with database.server(1, 1, Life(LONG, 0.0, 1)) as server:
        asked = ask(server, PIPELINE)
        await until(lambda: len(database.made) >= 2)
        assert not database.made[0].closed.done()
        assert len(database.made[0].requests) == PIPELINE
        await finish(database, asked)
        await until(database.made[0].closed.done)


async def test_a_worn_connection_that_cannot_be_replaced_is_used_on(database: Database) -> None:
    database.room = 1
    async with database.server(1, 1, Life(LONG, 0.0, 1)) as server:
        await finish(database, ask(server, 2))
        await until(lambda: server.connect_failures)
        await finish(database, ask(server, 2))
        assert not database.made[0].closed.done()


async def test_dropped_connections_fail_their_statements_at_once_and_are_made_anew(database: Database) -> None:
    async with database.server(2, 2) as server:
        asked = ask(server, 3 * PIPELINE)
        await asyncio.sleep(0)
        server.drop("the primary does not answer")
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(answer) for answer in answers} == {Failed}
        await until(lambda: server.connected == 2)
        await finish(database, ask(server, 2))


async def test_one_owner_makes_no_pool_grow_and_two_share_its_places(database: Database) -> None:
    async with database.server(1, 2) as server:
        flood = [asyncio.ensure_future(server.run(_statement("one"), LONG)) for _ in range(5 * PIPELINE)]
        await asyncio.sleep(0.02)
        assert (server.connected, len(database.made[0])) == (1, PIPELINE // 2)
        flood += [asyncio.ensure_future(server.run(_statement("two"), LONG)) for _ in range(5 * PIPELINE)]
        await until(lambda: server.connected == 2)
        await until(lambda: sum(len(channel) for channel in database.made) == 2 * PIPELINE)
        await finish(database, flood)


def _statement(owner: str) -> Any:
    return Statement(b"SELECT", (), owner)


@given(st.floats(0, 1e4), st.integers(0, 10_000), st.floats(0, 1e4), st.integers(0, 10_000))
def test_a_life_is_over_at_its_age_or_its_uses_and_zero_is_no_limit(
    age_limit: float, use_limit: int, age: float, uses: int
) -> None:
    over = (age_limit > 0 and age >= age_limit) or (use_limit > 0 and uses >= use_limit)
    assert Life(1.0, age_limit, use_limit).is_over(age, uses) is over

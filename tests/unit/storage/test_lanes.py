"""The small lane, over connections that the test answers: what is skipped, and what does not wait for a long group."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from relay.background import BackgroundTasks
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.storage import lanes as module
from relay.storage import pool
from relay.storage.channel import Skipped
from relay.storage.lanes import Lanes
from relay.storage.query_cost import Cost
from relay.storage.request import Row
from relay.storage.server import Server
from relay.storage.slow_queries import SlowQueries
from tests.unit.storage.channel import Channel

SMALL = Cost(0.1, True, [parse_filter({"ids": ["0" * 64]}, Limits())])


@pytest.fixture
async def lanes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lanes]:
    """One connection for small, one for quick and one for expensive queries."""

    async def connect() -> Any:
        return None

    monkeypatch.setattr(pool, "Channel", Channel)
    made = Lanes(connect, connect, 5.0, BackgroundTasks(), connections=2, slow_connections=1)
    made.open()
    await made.until_connected(5.0)
    yield made
    await made.close()


def channel_of(lane: Server | None) -> Channel:
    assert lane is not None
    return cast(Channel, lane._links[0].channel)


async def asked(lanes: Lanes) -> "asyncio.Task[list[Row]]":
    """A small query, once it is on its way."""
    task = asyncio.ensure_future(lanes.fetch("SELECT", (), "one", SMALL))
    await asyncio.sleep(0)
    return task


async def test_a_skipped_query_is_asked_alone_and_neither_charged_nor_noted_as_slow(lanes: Lanes) -> None:
    assert lanes.small is not None
    noted = SlowQueries()
    noted.least_ms = -1.0
    lanes.small.watch(noted)
    asking = await asked(lanes)
    small = channel_of(lanes.small)
    request = small.requests.popleft()
    request.is_skipped = True
    request.future.set_exception(Skipped())
    small.on_answer(1)
    async with asyncio.timeout(5):
        while not channel_of(lanes.quick).requests:
            await asyncio.sleep(0)
    channel_of(lanes.quick).answer()
    assert await asking == []
    assert (len(small), len(noted), lanes.failures) == (0, 0, 0)
    assert lanes.small._queue._account("one").charged == 0.0


async def test_a_small_query_takes_a_free_connection_while_a_group_runs_long(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONG_GROUP_SECONDS", 0.0)
    small, quick = channel_of(lanes.small), channel_of(lanes.quick)
    asking = [await asked(lanes) for _ in range(3)]
    assert (len(small), len(quick)) == (1, 1), "the third one waits for the group: no connection is free"
    small.answer()
    small.answer()
    quick.answer()
    assert await asyncio.gather(*asking) == [[], [], []]

"""The queue before the connections of one server, over a connection that the test answers."""

import asyncio
from typing import Any

import pytest

from relay.background import BackgroundTasks
from relay.protocol.errors import Failed
from relay.storage import overdue, pool
from relay.storage.fair_queue import Bounds
from relay.storage.server import PIPELINE, Server
from tests.unit.storage.channel import Channel

SECONDS = 0.02


async def test_a_connection_that_hangs_with_statements_from_the_queue_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channels: list[Channel] = []

    def opened(connection: object) -> Channel:
        channels.append(Channel(connection))
        return channels[-1]

    monkeypatch.setattr(pool, "Channel", opened)
    monkeypatch.setattr(overdue, "HUNG_SECONDS", SECONDS)

    async def connect() -> Any:
        return None

    tasks = BackgroundTasks()
    made = Server(connect, 1, SECONDS, tasks)
    made.open()
    await made.until_connected(1.0)
    asking = [asyncio.ensure_future(made.fetch("SELECT")) for _ in range(2 * PIPELINE)]
    await asyncio.sleep(0)
    assert made.waiting == PIPELINE
    for _ in range(PIPELINE):
        channels[0].answer()
    assert made.waiting == 0
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in answers] == [list] * PIPELINE + [Failed] * PIPELINE
    assert await asyncio.wait_for(asyncio.shield(channels[0].closed), 5) == "the database hangs"
    await made.close()


async def test_the_texts_of_waiting_statements_count_towards_the_bound_of_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "Channel", Channel)

    async def connect() -> Any:
        return None

    made = Server(connect, 1, 5.0, BackgroundTasks(), bounds=Bounds(bytes=10_000))
    made.open()
    await made.until_connected(1.0)
    asking = [asyncio.ensure_future(made.fetch("x" * 4_000, (b"12",))) for _ in range(PIPELINE + 3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (made.waiting, made.waiting_bytes, made.refused) == (2, 8_004, 1)
    await made.close()
    assert [type(each) for each in await asyncio.gather(*asking, return_exceptions=True)] == [Failed] * len(asking)

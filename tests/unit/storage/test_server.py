"""The queue before the connections of one server, over a connection that the test answers."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from relay.background import BackgroundTasks
from relay.protocol.errors import Failed
from relay.storage import link, server
from relay.storage.channel import Request
from relay.storage.server import PIPELINE, Server

SECONDS = 0.02


class Channel:
    """Answers when it is told to."""

    def __init__(self, _connection: object) -> None:
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.on_answer: Callable[[], None] = lambda: None
        self.requests: deque[Request] = deque()

    def __len__(self) -> int:
        return len(self.requests)

    def holds(self, request: Request) -> bool:
        return request in self.requests

    def send(self, text: bytes, parameters: object) -> Request:
        request = Request(text, asyncio.get_running_loop().create_future(), False)
        self.requests.append(request)
        return request

    def answer(self) -> None:
        self.requests.popleft().future.set_result([])
        self.on_answer()

    def close(self, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)


async def test_a_connection_that_hangs_with_statements_from_the_queue_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channels: list[Channel] = []

    def opened(connection: object) -> Channel:
        channels.append(Channel(connection))
        return channels[-1]

    monkeypatch.setattr(link, "Channel", opened)
    monkeypatch.setattr(server, "HUNG_SECONDS", SECONDS)

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

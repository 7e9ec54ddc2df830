"""A connection that the test answers."""

import asyncio
from collections import deque
from collections.abc import Callable

from relay.storage.channel import Broken
from relay.storage.request import Request, Row


class Channel:
    """Answers when it is told to."""

    def __init__(self, _connection: object) -> None:
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.on_answer: Callable[[int], None] = lambda _: None
        self.open_group = 0
        self.requests: deque[Request] = deque()

    def __len__(self) -> int:
        return len(self.requests)

    def holds(self, request: Request) -> bool:
        return request in self.requests

    def send(
        self,
        text: bytes,
        parameters: object,
        *,
        grouped: bool = False,
        future: "asyncio.Future[list[Row]] | None" = None,
        shared: object = None,
    ) -> Request:
        request = Request(text, future or asyncio.get_running_loop().create_future(), False)
        self.requests.append(request)
        return request

    def answer(self) -> None:
        future = self.requests.popleft().future
        if not future.done():
            future.set_result([])
        self.on_answer(1)

    def close(self, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)
            for request in self.requests:
                if not request.future.done():
                    request.future.set_exception(Broken(reason))

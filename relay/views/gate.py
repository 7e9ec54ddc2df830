"""Django's requests: a bounded number at a time, each with a thread of its own, and no more waiting than can be served.

A thread keeps its database connection (CONN_MAX_AGE), so threads bound Django's connections to PostgreSQL. With a
thread for each request, 300 requests with random session cookies took 200 of 200 connections, the relay's own too.
Rule: a request is complete before it gets a thread, and a response before its client gets a byte, so that a slow client
holds no thread.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext

from relay.transport.admission import network_of
from relay.views.body import Bodies, TooMany
from relay.views.sending import send_busy, send_response

WAITING = 64
"""Requests that wait for a thread; the next one gets 503."""
WAIT_SECONDS = 5.0
RESPONSE_SECONDS = 60.0
"""Of a body, and of a response with a thread: while a server of the database hangs, no statement ends by itself."""
PER_NETWORK = 12
"""Requests of one client network, unfinished ones too: twice what a browser sends at once."""

Application = Callable[[Any, Any, Any], Awaitable[None]]


class Gate:
    """ASGI application that passes `http` requests to `inner`, at most `threads` at a time."""

    def __init__(
        self,
        inner: Application,
        threads: int,
        *,
        wait_seconds: float = WAIT_SECONDS,
        response_seconds: float = RESPONSE_SECONDS,
    ) -> None:
        self._inner = inner
        self._wait_seconds = wait_seconds
        self._response_seconds = response_seconds
        self._free: deque[ThreadPoolExecutor] = deque(
            ThreadPoolExecutor(1, thread_name_prefix=f"django-{number}") for number in range(threads)
        )
        self._queue: deque[asyncio.Future[ThreadPoolExecutor]] = deque()
        self._by_network: Counter[str] = Counter()
        self._bodies = Bodies()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI: one request. 503 with Retry-After when no thread is free in time, or the response takes too long."""
        network = network_of((scope.get("client") or ("",))[0])
        if self._by_network[network] >= PER_NETWORK:
            await send_busy(send)
            return
        self._by_network[network] += 1
        try:
            messages = await self._response(scope, receive)
        finally:
            self._by_network[network] -= 1
            if not self._by_network[network]:
                del self._by_network[network]
        if messages is None:
            await send_busy(send)
        elif messages:
            start, *bodies = messages
            body = b"".join(message.get("body", b"") for message in bodies)
            await send_response(start["status"], start["headers"], body, send)

    async def _response(self, scope: Any, receive: Any) -> list[Any] | None:
        """The messages of the response, none of them if the client has gone; None if they did not come in time."""
        try:
            async with asyncio.timeout(self._response_seconds):
                incoming = await self._bodies.read(scope, receive)
        except (TimeoutError, TooMany):
            return None
        return [] if incoming is None else await self._in_thread(scope, incoming)

    async def _in_thread(self, scope: Any, receive: Any) -> list[Any] | None:
        thread = await self._thread()
        if thread is None:
            return None
        messages: list[Any] = []

        async def keep(message: Any) -> None:
            messages.append(message)

        try:
            async with asyncio.timeout(self._response_seconds), ThreadSensitiveContext(executor=thread):
                await self._inner(scope, receive, keep)
        except TimeoutError:
            return None
        finally:
            self._give_back(thread)
        return messages

    async def _thread(self) -> ThreadPoolExecutor | None:
        if self._free:
            return self._free.popleft()
        if len(self._queue) >= WAITING:
            return None
        turn: asyncio.Future[ThreadPoolExecutor] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await turn
        except BaseException as end:
            if turn.done() and not turn.cancelled():  # it came in the same turn of the loop
                self._free_again(turn.result())
            else:
                with contextlib.suppress(ValueError):  # or `_free_again` has just passed it over
                    self._queue.remove(turn)
            if isinstance(end, TimeoutError):
                return None
            raise

    def _give_back(self, thread: ThreadPoolExecutor) -> None:
        """Free the thread once it has done all that it was given: of a client that left, it may still run a query."""
        loop = asyncio.get_running_loop()

        def done(_: Future[None]) -> None:
            loop.call_soon_threadsafe(self._free_again, thread)

        thread.submit(_nothing).add_done_callback(done)

    def _free_again(self, thread: ThreadPoolExecutor) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(thread)
                return
        self._free.append(thread)


def _nothing() -> None:
    """What a thread is given last."""

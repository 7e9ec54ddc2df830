"""Load on a relay, and the books that are kept of it: what was acknowledged, what was refused, what came live.

    async with Client(url) as client:
        publisher = Publisher(client, secret(5)); publisher.start()
        ...
        await publisher.finish()      # publisher.acknowledged, publisher.refused

Loads are paced: they are there to find holes, not to measure.
"""

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.acceptance.client import Client, Json, Ok
from tests.events import pubkey_of, secret, sign_event

_authors = itertools.count(100_000)


def new_author() -> bytes:
    """A secret key that no other test uses."""
    return secret(next(_authors))


class Publisher:
    """Publishes notes of one author, one after the other, with a pause of some milliseconds, until `finish`.

    acknowledged: ids with OK true, in order. refused: OK false. unanswered: sent when the connection ended.
    """

    def __init__(self, client: Client, author: bytes, *, pause_seconds: float = 0.005) -> None:
        self.pubkey = pubkey_of(author)
        self.acknowledged: list[str] = []
        self.refused: list[Ok] = []
        self.longest_wait_seconds = 0.0
        self.connection_lost = False
        self._client = client
        self._author = author
        self._pause = pause_seconds
        self._numbers = itertools.count()
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def finish(self) -> None:
        """Stop after the event that is on its way."""
        self._over.set()
        assert self._task is not None
        await asyncio.wait_for(self._task, 20.0)

    async def acknowledged_more(self, count: int, seconds: float = 10.0) -> None:
        """Wait until so many more events were acknowledged."""
        enough = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= enough, f"OK true for {count} more events", seconds)

    async def refused_one(self, seconds: float = 10.0) -> None:
        """Wait until an event is refused."""
        await until(lambda: self.refused, "OK false", seconds)

    async def connection_ended(self, seconds: float = 10.0) -> None:
        """Wait until the relay has ended the connection, or died."""
        await until(lambda: self.connection_lost, "the end of the connection", seconds)

    async def _run(self) -> None:
        try:
            while not self._over.is_set():
                await self._publish()
                await asyncio.sleep(self._pause)
        except (ConnectionError, EOFError):
            self.connection_lost = True

    async def _publish(self) -> None:
        event = sign_event(self._author, content=f"note {next(self._numbers)}", created_at=int(time.time()))
        sent = time.monotonic()
        with _as_connection_error():
            await self._client.send("EVENT", event)
            message = await self._client.receive(lambda m: m[:2] == ["OK", event["id"]], 15.0)
        self.longest_wait_seconds = max(self.longest_wait_seconds, time.monotonic() - sent)
        answer = Ok(*message[1:])
        if answer.accepted:
            self.acknowledged.append(answer.event_id)
        else:
            self.refused.append(answer)


class Ledger:
    """Publishes notes of one author without a pause to speak of, over a new connection whenever one ends.

    acknowledged: ids with OK true. refused: texts of OK false. longest_wait_seconds: from an EVENT to its OK. Each
    note has `size` characters more than its number.
    """

    def __init__(self, url: str, author: bytes, *, size: int = 0) -> None:
        self.pubkey = pubkey_of(author)
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self.longest_wait_seconds = 0.0
        self._url = url
        self._author = author
        self._filling = size
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def acknowledged_more(self, count: int, seconds: float) -> None:
        """Wait until so many more events were acknowledged."""
        enough = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= enough, f"OK true for {count} more events", seconds)

    async def refused_more(self, seconds: float) -> None:
        """Wait until another event is refused."""
        enough = len(self.refused) + 1
        await until(lambda: len(self.refused) >= enough, "OK false", seconds)

    async def finish(self) -> None:
        """Stop after the event that is on its way."""
        self._over.set()
        await asyncio.wait_for(self._task, 20.0)

    async def _run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(WebSocketException, OSError):  # also 503, while a worker begins a new epoch
                async with Client(self._url) as client:
                    while not self._over.is_set():
                        await self._publish(client)
            await asyncio.sleep(0.02)

    async def _publish(self, client: Client) -> None:
        content = f"entry {len(self.acknowledged)} {len(self.refused)} " + os.urandom(self._filling // 2).hex()
        event = sign_event(self._author, content=content, created_at=int(time.time()))
        sent = time.monotonic()
        answer = await client.publish(event)
        self.longest_wait_seconds = max(self.longest_wait_seconds, time.monotonic() - sent)
        if answer.accepted:
            self.acknowledged.append(answer.event_id)
        else:
            self.refused.append(answer.text)
        await asyncio.sleep(0.005)


class Listener:
    """An open subscription and the ids of all that it was sent, doubles included, in the order of arrival."""

    def __init__(self, client: Client) -> None:
        self.ids: list[str] = []
        self.closed = ""
        self.connection_lost = False
        self._client = client
        self._task: asyncio.Task[None] | None = None

    async def start(self, filter: Json) -> None:
        """Subscribe; returns after EOSE."""
        self.ids = (await self._client.request("live", filter)).ids
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def has(self, ids: list[str], seconds: float = 10.0) -> None:
        """Wait until all of these have come."""
        await until(lambda: set(ids) <= set(self.ids), "the arrival of all events", seconds)

    async def _run(self) -> None:
        try:
            while True:
                with _as_connection_error():
                    message = await self._client.receive(_is_for_listener, 60.0)
                if message[0] == "CLOSED":
                    self.closed = message[2]
                    return
                self.ids.append(message[2]["id"])
        except ConnectionError:
            self.connection_lost = True


async def stored_of(client: Client, ids: list[str]) -> set[str]:
    """Which of these events are stored. AssertionError when a query fails."""
    found: set[str] = set()
    for start in range(0, len(ids), 400):
        page = await client.query({"ids": ids[start : start + 400]})
        assert page.closed is None, page.closed
        found |= set(page.ids)
    return found


async def answers(client: Client, seconds: float) -> None:
    """Wait until a query of this client is answered again."""
    deadline = time.monotonic() + seconds
    while (failed := (await client.query({"limit": 1})).closed) is not None:
        assert time.monotonic() < deadline, f"queries still fail after {seconds:g} s: {failed}"
        await asyncio.sleep(0.05)


def _is_for_listener(message: list[Any]) -> bool:
    return message[0] in {"EVENT", "CLOSED"} and message[1] == "live"


@contextlib.contextmanager
def _as_connection_error() -> Iterator[None]:
    try:
        yield
    except ConnectionClosed as error:
        raise ConnectionError(str(error)) from error


async def until(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Return as soon as `condition()` holds; AssertionError with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        await asyncio.sleep(0.01)

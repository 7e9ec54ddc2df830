"""Who publishes in a region, and who sees live what arrives there. All times are those of one clock."""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.benchmarks.regions.three import PORT, Region
from tests.events import secret, sign_event

Event = dict[str, Any]
LOST = (OSError, WebSocketException, TimeoutError)
ANSWER_SECONDS = 15.0
PAUSE_SECONDS = 0.2
MOST_PENDING = 500
KINDS = {"urgent": 30_023, "normal": 1, "low": 7, "ephemeral": 24_133}
"""By lane; ephemeral events have a link of their own."""


def make(lane: str, number: int, label: str, rate: float = 0.0) -> list[Event]:
    """So many events of a lane, signed; all are kept: no two have the same address.

    With a rate, in events a second, each has the date at which it is due: relays refuse old ephemeral events.
    """
    kind, now = KINDS[lane], int(time.time())
    tags = [["e", "0" * 64]] if lane == "low" else []
    return [
        sign_event(
            secret(1_000 + n % 50),
            kind=kind,
            created_at=now + int(n / rate) if rate else now,
            tags=[["d", f"{label} {n}"]] if lane == "urgent" else tags,
            content=f"{label} {n}",
        )
        for n in range(number)
    ]


def connected(region: Region) -> Any:
    """A connection to the relay from within its network, to be used in `async with`. Raises OSError."""
    return connect(f"ws://127.0.0.1:{PORT}", sock=region.dial(), compression=None, max_size=2**24, max_queue=None)


class Watcher:
    """A live subscriber to everything. `arrivals`: id -> when it came."""

    def __init__(self) -> None:
        self.arrivals: dict[str, float] = {}
        self._came = asyncio.Event()

    async def has(self, ids: set[str], seconds: float) -> bool:
        """Wait until all have come; False if they have not."""
        ends = time.monotonic() + seconds
        while ids - self.arrivals.keys():
            if time.monotonic() > ends:
                return False
            await asyncio.sleep(max(0.05, len(ids) / 100_000))  # as long as to look, at least
        return True

    async def next(self) -> None:
        """Wait for the next event."""
        self._came.clear()
        await self._came.wait()

    async def follow(self, ws: ClientConnection) -> None:
        """Take what comes, until the connection ends."""
        with contextlib.suppress(*LOST):
            async for frame in ws:
                now, message = time.monotonic(), orjson.loads(frame)
                if message[0] == "EVENT":
                    self.arrivals.setdefault(message[2]["id"], now)
                    self._came.set()


@contextlib.asynccontextmanager
async def watching(region: Region) -> AsyncIterator[Watcher]:
    """A subscriber in a region, which hears from the first line of the block on."""
    watcher = Watcher()
    async with connected(region) as ws:
        await ws.send(json.dumps(["REQ", "all", {"limit": 0}]))
        async with asyncio.timeout(ANSWER_SECONDS):
            while orjson.loads(await ws.recv())[0] != "EOSE":
                pass
        task = asyncio.create_task(watcher.follow(ws))
        try:
            yield watcher
        finally:
            task.cancel()
            await asyncio.wait([task])


class Publisher:
    """Publishes events at an even rate, each until it has its OK true. `acknowledged`: id -> when that came."""

    def __init__(self, region: Region, events: Sequence[Event], rate: float) -> None:
        """`rate`: events a second."""
        self.acknowledged: dict[str, float] = {}
        self._region = region
        self._rate = rate
        self._todo = deque((event["id"], orjson.dumps(["EVENT", event]).decode()) for event in events)
        self._pending: dict[str, str] = {}

    async def run(self, seconds: float = 300.0) -> None:
        """Until all are acknowledged, over as many connections as it takes.

        Raises TimeoutError; RuntimeError if the relay refuses an event for good.
        """
        async with asyncio.timeout(seconds):
            while self._todo or self._pending:
                try:
                    async with connected(self._region) as ws:
                        await self._work(ws)
                except* LOST:
                    await asyncio.sleep(PAUSE_SECONDS)

    async def _work(self, ws: ClientConnection) -> None:
        for frame in list(self._pending.values()):
            await ws.send(frame)
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self._send(ws))
            while self._todo or self._pending:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._hear(ws)
            sending.cancel()

    async def _send(self, ws: ClientConnection) -> None:
        due = time.monotonic()
        while self._todo or self._pending:
            due = max(due + 1 / self._rate, time.monotonic() - PAUSE_SECONDS)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self._todo and len(self._pending) < MOST_PENDING:
                event_id, frame = self._todo.popleft()
                self._pending[event_id] = frame
                await ws.send(frame)

    async def _hear(self, ws: ClientConnection) -> None:
        message = orjson.loads(await ws.recv())
        now = time.monotonic()
        if message[0] != "OK" or message[1] not in self._pending:
            return
        frame = self._pending.pop(message[1])
        if message[2]:
            self.acknowledged[message[1]] = now
        elif message[3].startswith(("error:", "rate-limited:")):  # the database is away, for instance
            self._todo.append((message[1], frame))
        else:
            raise RuntimeError(f"the relay refused an event: {message[3]}")

"""A client that asks and publishes as fast as it is answered: one process, some connections.

Every figure is of acknowledged work: a query counts at its EOSE, an event at its OK true.
"""

import asyncio
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

Json = dict[str, Any]
Make = Callable[[], tuple[str, list[Json]]]
"""Another question: the name of its shape, and its filters."""

LIMIT_SECONDS = 30.0


class Connection(WSListener):
    """One connection; `on_text` gets every message."""

    def __init__(self) -> None:
        self.on_text: Callable[[bytes], None] = lambda data: None
        self._parts: list[bytes] = []

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.TEXT:
            self.on_text(frame.get_payload_as_bytes())

    def send(self, frame: bytes) -> None:
        self.transport.send(WSMsgType.TEXT, frame)


async def connect(url: str, count: int) -> list[Connection]:
    made = [await ws_connect(Connection, url, websocket_handshake_timeout=20) for _ in range(count)]
    return [connection for _, connection in made if isinstance(connection, Connection)]


@dataclass
class Asked:
    """What was answered. `latencies` in seconds by shape."""

    seconds: float = 0.0
    latencies: dict[str, list[float]] = field(default_factory=dict)
    published: int = 0

    @property
    def queries(self) -> int:
        return sum(map(len, self.latencies.values()))

    @property
    def per_second(self) -> float:
        return self.queries / self.seconds

    def median_ms(self) -> float:
        """Of all shapes together, in milliseconds."""
        every = [seconds for each in self.latencies.values() for seconds in each]
        return statistics.median(every) * 1e3 if every else 0.0


async def ask(
    url: str,
    make: Make,
    *,
    connections: int,
    seconds: float = float("inf"),
    queries: int | None = None,
    writes: Sequence[bytes] = (),
    write_share: float = 0.0,
) -> Asked:
    """Ask for `seconds`, or so many queries; `write_share` of what is sent are events out of `writes`."""
    asked = Asked()
    frames = iter(writes)
    left = iter(range(queries)) if queries is not None else None
    rng = random.Random(5)
    begin = perf_counter()

    async def run(connection: Connection, number: int) -> None:
        turn = 0
        while perf_counter() - begin < seconds and (left is None or next(left, None) is not None):
            turn += 1
            frame = next(frames, None) if rng.random() < write_share else None
            if frame is not None:
                await answer(connection, frame, b'["OK"')
                asked.published += 1
                continue
            shape, filters = make()
            name = f"{number}-{turn}"
            start = perf_counter()
            await answer(connection, orjson.dumps(["REQ", name, *filters]), b'["EOSE"')
            asked.latencies.setdefault(shape, []).append(perf_counter() - start)
            connection.send(orjson.dumps(["CLOSE", name]))

    made = await connect(url, connections)
    begin = perf_counter()
    try:
        await asyncio.gather(*[run(connection, number) for number, connection in enumerate(made)])
        asked.seconds = perf_counter() - begin
    finally:
        for connection in made:
            connection.transport.disconnect(graceful=False)
    return asked


async def answer(connection: Connection, frame: bytes, wanted: bytes) -> None:
    """Send and wait for the answer that begins so. RuntimeError for a refusal."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_text(data: bytes) -> None:
        if done.done():
            return
        if data.startswith(wanted):
            if wanted == b'["OK"' and b",true," not in data:
                done.set_exception(RuntimeError(data.decode()))
            else:
                done.set_result(None)
        elif data.startswith((b'["CLOSED"', b'["NOTICE"')):
            done.set_exception(RuntimeError(data.decode()))

    connection.on_text = on_text
    connection.send(frame)
    async with asyncio.timeout(LIMIT_SECONDS):
        await done


async def publish(url: str, frames: Sequence[bytes], *, connections: int, window: int) -> float:
    """Publish all, `window` under way on each connection; events a second."""
    made = await connect(url, connections)
    begin = perf_counter()
    try:
        await asyncio.gather(*[_publish(one, frames[number::connections], window) for number, one in enumerate(made)])
        return len(frames) / (perf_counter() - begin)
    finally:
        for connection in made:
            connection.transport.disconnect(graceful=False)


async def _publish(connection: Connection, frames: Sequence[bytes], window: int) -> None:
    waiting = iter(frames)
    left = len(frames)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def push() -> None:
        if (frame := next(waiting, None)) is not None:
            connection.send(frame)

    def on_text(data: bytes) -> None:
        nonlocal left
        if not data.startswith(b'["OK"') or done.done():
            return
        if b",true," not in data:
            done.set_exception(RuntimeError(data.decode()))
            return
        left -= 1
        push()
        if not left:
            done.set_result(None)

    connection.on_text = on_text
    for _ in range(window):
        push()
    async with asyncio.timeout(2 * LIMIT_SECONDS):
        await done

"""One connection: the commands of one turn of the loop leave in one write, replies come in order.

Rule: a command is answered within the time-out or the connection is closed, and every command waiting on it fails. The
time-out is counted in eight parts, each a turn of our own loop: if the loop itself was blocked, replies may lie in the
socket, and a late turn counts once and is followed by a read.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import hiredis

from relay.redis_url import Endpoint

Part = bytes | int | str
"""A word of a command."""
Reply = Any
"""A reply: bytes, int, None or a list of these; or an exception: Unavailable or the server's hiredis.ReplyError."""
OnReply = Callable[[Reply], None]
pack = cast(Callable[[tuple[Part, ...]], bytes], hiredis.pack_command)
"""Encode a command. (The type of hiredis allows one word only.)"""

MAX_WAITING = 10_000
"""Commands waiting for their reply."""
MAX_UNSENT_BYTES = 8 * 2**20
"""Bound of two buffers: the commands of this turn, and what the socket has not taken."""
PARTS = 8
UNAVAILABLE_PREFIXES = ("LOADING ", "READONLY ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ", "BUSY ")
"""Prefixes of errors of a server that cannot serve now; they count as unavailable."""
_NOTHING: Final = object()


class Unavailable(Exception):
    """the shared cache is unavailable"""


class Full(Unavailable):
    """too many commands wait for the shared cache"""


@dataclass(slots=True, eq=False)
class Counters:
    """Totals since the start, in commands; `timeouts` counts closed connections, `reconnects` opened ones after the
    first.
    """

    commands: int = 0
    failures: int = 0
    timeouts: int = 0
    reconnects: int = 0
    dropped: int = 0


class Connection(asyncio.Protocol):
    """`closed` completes with the reason when the connection ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_seconds: float, counters: Counters) -> None:
        self.closed: asyncio.Future[str] = loop.create_future()
        self.is_open = True
        self._loop = loop
        self._part_seconds = timeout_seconds / PARTS
        self._counters = counters
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[OnReply] = deque()
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._is_stuck = False
        self._sent = 0
        self._marks: deque[int] = deque(maxlen=PARTS)
        self._timer: asyncio.TimerHandle | None = None

    def send(self, packed: bytes, on_reply: OnReply) -> None:
        """Send a packed command; `on_reply` is called once, in a later turn of the loop."""
        if (
            not self.is_open
            or self._is_stuck
            or len(self._waiting) >= MAX_WAITING
            or self._out_bytes + len(packed) > MAX_UNSENT_BYTES
        ):
            self._refuse(on_reply)
            return
        if not self._out:
            self._loop.call_soon(self._flush)
            if self._timer is None:
                self._timer = self._loop.call_later(self._part_seconds, self._part_over)
        self._waiting.append(on_reply)
        self._out.append(packed)
        self._out_bytes += len(packed)
        self._sent += 1

    def call(self, *parts: Part) -> "asyncio.Future[Reply]":
        """Send a command; the future gives its reply or raises its error."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self.send(pack(parts), lambda reply: settle(future, reply))
        return future

    def _refuse(self, on_reply: OnReply) -> None:
        self._counters.failures += 1
        if self.is_open:
            self._counters.dropped += 1
        reply = (
            Full("too many commands wait for the shared cache") if self.is_open else Unavailable(self.closed.result())
        )
        self._loop.call_soon(on_reply, reply)

    def _flush(self) -> None:
        out = self._out
        if out and self._transport is not None:
            self._counters.commands += len(out)
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        self._out = []
        self._out_bytes = 0

    def _part_over(self) -> None:
        # Checked in the next turn, so that the timer of the next part cannot fire before a read.
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._timer = None
        if not self.is_open:
            return
        if not self._waiting:
            self._marks.clear()
            return
        self._marks.append(self._sent)
        if len(self._marks) == PARTS and self._sent - len(self._waiting) < self._marks[0]:
            self._counters.timeouts += 1
            self.close("a command was not answered in time")
            return
        self._timer = self._loop.call_later(self._part_seconds, self._part_over)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's class is no subclass of it
        self._transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)

    def pause_writing(self) -> None:
        """From asyncio.Protocol."""
        self._is_stuck = True

    def resume_writing(self) -> None:
        """From asyncio.Protocol."""
        self._is_stuck = False

    def data_received(self, data: bytes) -> None:
        """From asyncio.Protocol."""
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _NOTHING:
                if not waiting:  # also after a callback has closed the connection
                    self.close("a reply to no command")
                    return
                on_reply = waiting.popleft()
                if type(reply) is hiredis.ReplyError:
                    reply = self._judge(reply)
                try:
                    on_reply(reply)
                except Exception as error:  # other callers wait for the replies behind it
                    self._report(error)
        except hiredis.ProtocolError as error:
            self.close(f"not the protocol of Valkey: {error}")

    def _judge(self, error: hiredis.ReplyError) -> Exception:
        """Turn an error of a server that cannot serve now into Unavailable."""
        text = str(error)
        if not text.startswith(UNAVAILABLE_PREFIXES):
            return error
        self._counters.failures += 1
        if text.startswith("READONLY "):  # the master has become a replica
            self._loop.call_soon(self.close, text)
        return Unavailable(text)

    def _report(self, error: Exception) -> None:
        self._loop.call_exception_handler({"message": "a reply of the shared cache was not taken", "exception": error})

    def connection_lost(self, exc: Exception | None) -> None:
        """From asyncio.Protocol."""
        self.close(f"the connection is lost: {exc}" if exc else "the server closed the connection")

    def close(self, reason: str) -> None:
        """Close the connection; every waiting command gets Unavailable now."""
        if not self.is_open:
            return
        self.is_open = False
        self.closed.set_result(reason)
        if self._transport is not None:
            self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        self._out = []
        waiting = self._waiting
        self._counters.failures += len(waiting)
        while waiting:
            on_reply = waiting.popleft()
            try:
                on_reply(Unavailable(reason))
            except Exception as error:
                self._report(error)


def settle(future: "asyncio.Future[Reply]", reply: Reply) -> None:
    """Complete a future with a reply, unless it is already done."""
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)


async def connect(
    endpoint: Endpoint, tls: Any, timeout_seconds: float, counters: Counters, limit_seconds: float = 1.0
) -> Connection:
    """Open a connection within `limit_seconds`. Raises OSError or TimeoutError."""
    loop = asyncio.get_running_loop()

    def make() -> Connection:
        return Connection(loop, timeout_seconds, counters)

    async with asyncio.timeout(limit_seconds):
        if endpoint.port == 0:
            _, connection = await loop.create_unix_connection(make, endpoint.host)
        else:
            _, connection = await loop.create_connection(make, endpoint.host, endpoint.port, ssl=tls)
    return connection

"""The writes of one connection, and its back-pressure.

Rules: all bytes go through one transport in the order of the calls; the write buffer is bounded, and a client that lets
it grow beyond is cut off; a closed one sends nothing more.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from relay.transport.counters import counters
from relay.transport.frames import PONG, frame, text_frames
from relay.transport.sending import sending


class Connection(Protocol):
    """What a write buffer needs of its connection; `relay.transport.connection.Connection` is the one there is."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    def abort(self) -> None:
        """Drop the connection and its write buffer now."""


class WriteBuffer:
    """What is sent to one client. `above_high_water`: asyncio's buffer is; it is bounded by `limit_bytes`."""

    __slots__ = ("_connection", "_limit_bytes", "_on_drained", "_transport", "_writable", "above_high_water", "closed")

    def __init__(self, connection: Connection, limit_bytes: int) -> None:
        self.above_high_water = False
        self.closed = False  # close frame or error response sent, or connection lost
        self._connection = connection
        self._transport = connection.transport
        self._limit_bytes = limit_bytes
        self._writable: asyncio.Future[None] | None = None
        self._on_drained: Callable[[], None] | None = None

    def send_frames(self, payloads: Sequence[bytes]) -> None:
        """Text messages in one write."""
        if self.closed or not payloads:
            return
        data = text_frames(payloads)
        counters.messages_out += len(payloads)
        counters.bytes_out += len(data)
        counters.writes += 1
        self._transport.write(data)
        if self.above_high_water:
            self._check_bound(len(data))

    def send(self, opcode: int, payload: bytes) -> None:
        """One text or binary message."""
        if self.closed:
            return
        data = frame(opcode, payload)
        counters.messages_out += 1
        counters.bytes_out += len(data)
        counters.writes += 1
        self.write(data)

    def pong(self, payload: bytes) -> None:
        """Answer a ping, unless the buffer is above high water: a flood of pings must not fill it."""
        if not self.above_high_water:
            self.write(frame(PONG, payload))

    def write(self, data: bytes) -> None:
        """Whole frames, whose sender knows that the connection is open."""
        self._transport.write(data)
        if self.above_high_water:
            self._check_bound(len(data))

    def _check_bound(self, written: int) -> None:
        size = self.unread_bytes()
        if size > self._limit_bytes:
            counters.aborted_slow_readers += 1
            self._drop()
        else:
            sending.hold(self, size, written)

    def unread_bytes(self) -> int:
        """What the client has not read, without the kernel's buffers."""
        return self._transport.get_write_buffer_size()

    def cut(self) -> None:
        """Drop a client that does not read, to make room for others."""
        counters.aborted_unread += 1
        self._drop()

    def _drop(self) -> None:
        sending.release(self)
        self._connection.abort()

    def pause_writing(self) -> None:
        """asyncio: the buffer is above its high-water mark."""
        self.above_high_water = True
        sending.hold(self, self.unread_bytes())

    def resume_writing(self) -> None:
        """asyncio: the buffer is below its low-water mark."""
        self.above_high_water = False
        sending.release(self)
        self._wake()
        if self._on_drained is not None:
            self._on_drained()

    def set_drained(self, callback: Callable[[], None] | None) -> None:
        """Set or remove the one callback of `resume_writing`."""
        self._on_drained = callback

    async def writable(self) -> None:
        """Wait until the buffer has drained or the connection is lost."""
        while self.above_high_water:
            if self._writable is None or self._writable.done():
                self._writable = self._connection.loop.create_future()
            await asyncio.shield(self._writable)

    def lost(self) -> None:
        """The connection is lost: nothing is sent, and what waits goes on."""
        self.closed = True
        self.above_high_water = False
        sending.release(self)
        self._wake()

    def _wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

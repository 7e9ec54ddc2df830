"""What waits to be sent to one client, bounded in bytes.

Frames put during one turn of the loop leave in one write. Rule: a client that does not read loses its
connection, and the relay never keeps more than the bound for it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

HIGH_WATER_BYTES = 65_536
"""The transport says that it has drained only after more than this was waiting in it."""


class Wire(Protocol):
    """The way to one client (implemented by the consumer, over whichever server carries it)."""

    def send_frames(self, frames: Sequence[bytes]) -> None:
        """Send text messages, in order."""

    def buffered_bytes(self) -> int:
        """What was sent and has not left the process."""

    def pause_reading(self) -> None:
        """Take no more messages from the client for now; what was read already may still arrive."""

    def resume_reading(self) -> None:
        """Take messages again."""

    def close(self, code: int, reason: str) -> None:
        """End the connection in order: what was sent goes out first."""

    def cut(self) -> None:
        """End the connection at once, without waiting for the client to read."""


class Flusher:
    """One turn of the loop, one flush for all outboxes that were written to in it."""

    def __init__(self) -> None:
        self._dirty: list[Outbox] = []

    def add(self, outbox: "Outbox") -> None:
        """Have an outbox flushed at the end of this turn."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._flush)
        self._dirty.append(outbox)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for outbox in dirty:
            outbox.flush()


class Outbox:
    """The frames of one connection on their way out. `on_overflow` is called once, when the bound is passed."""

    __slots__ = ("_bytes", "_flusher", "_frames", "_max_bytes", "_on_overflow", "_waiting", "_wire", "closed")

    def __init__(self, wire: Wire, flusher: Flusher, max_bytes: int, on_overflow: Callable[[], None]) -> None:
        self.closed = False
        self._wire = wire
        self._flusher = flusher
        self._max_bytes = max_bytes
        self._on_overflow = on_overflow
        self._frames: list[bytes] = []
        self._bytes = 0
        self._waiting: asyncio.Future[None] | None = None

    def put(self, frame: bytes) -> None:
        """Queue one text message; dropped when the connection is closed."""
        if self.closed:
            return
        frames = self._frames
        if not frames:
            self._flusher.add(self)
        frames.append(frame)
        self._bytes += len(frame)
        if self._bytes > self._max_bytes:
            self.flush()

    def put_all(self, frames: Sequence[bytes]) -> None:
        """Queue several text messages at once; dropped when the connection is closed."""
        if self.closed or not frames:
            return
        if not self._frames:
            self._flusher.add(self)
        self._frames += frames
        self._bytes += sum(map(len, frames))
        if self._bytes > self._max_bytes:
            self.flush()

    def flush(self) -> None:
        """Hand what is queued to the wire; cut the client off when more than the bound waits there already."""
        if self.closed or not self._frames:
            return
        wire = self._wire
        if self._bytes + wire.buffered_bytes() > self._max_bytes and wire.buffered_bytes():
            self.close()
            self._on_overflow()
            wire.cut()
            return
        frames, self._frames, self._bytes = self._frames, [], 0
        wire.send_frames(frames)

    @property
    def backlog_bytes(self) -> int:
        """What was put and has not left the process."""
        return self._bytes + self._wire.buffered_bytes()

    async def room(self) -> None:
        """Wait until the client has read what was sent; at once when it keeps up. The caller sets the limit of time."""
        self.flush()
        if self.closed or self._wire.buffered_bytes() <= HIGH_WATER_BYTES:
            return
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._waiting)

    def drained(self) -> None:
        """The wire says that its buffer has emptied."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def close(self) -> None:
        """Forget what is queued and take nothing more."""
        self.closed = True
        self._frames = []
        self._bytes = 0
        self.drained()

"""The frames waiting to be sent to one client, bounded in bytes.

Frames put during one turn of the loop leave in one write. Rule: a client that does not read is disconnected; the relay
never keeps more than the bound for it.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

HIGH_WATER_BYTES = 65_536
"""The transport reports `drained` only after more than this was waiting in it."""


class Wire(Protocol):
    """The connection to one client (implemented by the consumer for each kind of server)."""

    def send_frames(self, frames: Sequence[bytes]) -> None:
        """Send text messages, in order."""

    def buffered_bytes(self) -> int:
        """Bytes sent that have not left the process."""

    def pause_reading(self) -> None:
        """Stop taking messages from the client; those already read may still arrive."""

    def resume_reading(self) -> None:
        """Take messages again."""

    def close(self, code: int, reason: str) -> None:
        """Close the connection in order: frames sent before go out first."""

    def cut(self) -> None:
        """Close the connection at once, without waiting for the client to read."""


FLUSH_SECONDS = 0.005
"""How long outboxes are flushed in one turn of the loop; the others follow in the next ones."""


class Flusher:
    """Flushes all outboxes that were written to in a turn of the loop. It keeps one entry for each connection."""

    def __init__(self) -> None:
        self._dirty: list[Outbox] = []

    def add(self, outbox: "Outbox") -> None:
        """Flush this outbox at the end of this turn."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._flush)
        self._dirty.append(outbox)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        stop = monotonic() + FLUSH_SECONDS
        for number, outbox in enumerate(dirty, 1):
            outbox.flush()
            if not number % 16 and monotonic() > stop:
                rest = dirty[number:]
                if rest:
                    self._dirty = rest + self._dirty
                    asyncio.get_running_loop().call_soon(self._flush)
                return


class Outbox:
    """The outgoing frames of one connection. `on_overflow` is called once, when the bound is exceeded."""

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
        """Pass queued frames to the wire; disconnect the client if more than the bound is already waiting there."""
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
        """Bytes put that have not left the process."""
        return self._bytes + self._wire.buffered_bytes()

    async def wait_for_room(self) -> None:
        """Wait until the client has read enough; returns at once if it keeps up. The caller sets the time-out."""
        self.flush()
        if self.closed or self._wire.buffered_bytes() <= HIGH_WATER_BYTES:
            return
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._waiting)

    def drained(self) -> None:
        """Called by the wire when its buffer has emptied."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def close(self) -> None:
        """Drop queued frames and accept no more."""
        self.closed = True
        self._frames = []
        self._bytes = 0
        self.drained()

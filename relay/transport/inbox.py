"""The queue of whole messages between parser and application: `receive()`, or callbacks once attached.

Rules: messages and the close keep their order; the queue is bounded (reading pauses); one client uses the event loop
for at most `SLICE_SECONDS` at a time, and the rest of its read waits for the next turn of the loop.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from relay.transport.counters import counters
from relay.transport.frames import TEXT
from relay.transport.pause import Pause

SLICE_SECONDS = 0.005  # the rest of a read (2,700 tiny frames) adds as much again
_GAP_SECONDS = 0.001  # reads closer together than this are one slice: the loop had no other turn
_QUEUE_BYTES = 1024 * 1024
_SMALL_BYTES = 4096  # a message below this that ends its read cannot be part of a flood

OnMessage = Callable[[bytes], None]
OnClose = Callable[[int], None]


class Connection(Protocol):
    """What an inbox needs of its connection; `relay.transport.connection.Connection` is the one there is."""

    loop: asyncio.AbstractEventLoop
    max_queue: int
    reason: str

    def pause(self, reason: Pause) -> None:
        """Stop reading from the socket."""

    def resume(self, reason: Pause) -> None:
        """Read again when no other reason to pause is left."""

    def fail(self, code: int, reason: str) -> None:
        """Close because of an error."""


class Inbox:
    """The messages of one connection: queued for `receive()` until `attach`, then passed to callbacks."""

    __slots__ = (
        *("_application_paused", "_close_reported", "_closing", "_connection", "_held", "_in_batch", "_on_binary"),
        *("_on_close", "_on_text", "_on_too_large", "_queue", "_queued_bytes", "_scheduled", "_slice_ended"),
        *("_slice_started", "_waiter", "ended_with"),
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._queue: deque[tuple[int, bytes]] | None = None  # made when needed: an empty deque is 600 bytes
        self._queued_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._on_text: OnMessage | None = None
        self._on_binary: OnMessage | None = None
        self._on_close: OnClose | None = None
        self._on_too_large: OnMessage | None = None
        self._held = False  # attached, but messages wait in the queue
        self._application_paused = False
        self._scheduled = False
        self._in_batch = False
        self._slice_started = self._slice_ended = 0.0
        self._closing: Callable[[], None] | None = None  # the peer's close, behind its messages
        self.ended_with: int | None = None
        self._close_reported = False

    # from the parser

    def put(self, opcode: int, data: bytes, last: bool) -> None:
        """Take one message. `last`: it ends what one read brought."""
        on_text = self._on_text
        try:
            if self._held or on_text is None:
                self._enqueue(opcode, data)
            elif last and not self._in_batch and len(data) < _SMALL_BYTES:
                if opcode == TEXT:
                    on_text(data)
                else:
                    self._deliver(opcode, data)
            elif self._slice_used(last):
                self.yield_to_loop()
                self._enqueue(opcode, data)
            else:
                if opcode == TEXT:
                    on_text(data)
                else:
                    self._deliver(opcode, data)
                if last:
                    self._slice_ended = monotonic()
        except Exception:
            self._failed()

    def too_large(self, beginning: bytes) -> None:
        """Show the application the beginning of a message that is above the limit; the connection is closed next."""
        if self._on_too_large is not None:
            try:
                self._on_too_large(beginning)
            except Exception:
                self._failed()

    def frame_without_message(self, last: bool) -> None:
        """Count the time of a control frame or fragment towards the slice."""
        if not self._held and (self._in_batch or not last) and self._slice_used(last):
            self.yield_to_loop()

    def _slice_used(self, last: bool) -> bool:
        now = monotonic()
        if not self._in_batch:
            self._in_batch = True
            if now - self._slice_ended > _GAP_SECONDS:
                self._slice_started = now
        if last:
            self._in_batch = False
            self._slice_ended = now
        return now - self._slice_started > SLICE_SECONDS

    def yield_to_loop(self) -> None:
        """Pause reading and queue what the parser still delivers until the loop's next turn."""
        counters.yields += 1
        self._in_batch = False
        self._slice_ended = 0.0  # the next message begins a new slice
        self._connection.pause(Pause.BACKLOG)
        if self._on_text is None:
            self._connection.loop.call_soon(self._connection.resume, Pause.BACKLOG)
        else:
            self._held = True
            self._schedule()

    def _enqueue(self, opcode: int, data: bytes) -> None:
        if self._closing is not None or self.ended_with is not None:
            return  # after the close
        if self._queue is None:
            self._queue = deque()
        self._queue.append((opcode, data))
        self._queued_bytes += len(data)
        if self._on_text is None:
            self._wake()
            if len(self._queue) >= self._connection.max_queue or self._queued_bytes >= _QUEUE_BYTES:
                self._connection.pause(Pause.QUEUE)

    def after_messages(self, closing: Callable[[], None]) -> None:
        """Call `closing` once the attached application has had the messages before it, or now if none is queued."""
        if self._held and self._queue:
            self._closing = closing
            self._application_paused = False  # the queue is bounded: deliver it all before the close
            self._schedule()
        else:
            closing()

    def end(self, code: int, *, discard: bool = False) -> None:
        """The connection ended with `code`: tell the application once, after its messages, which `discard` drops."""
        if self.ended_with is not None:
            return
        self.ended_with = code
        self._closing = None
        self._application_paused = False
        if discard:
            self._queue = None
        if self._on_text is not None and self._queue:
            self._schedule()
        else:
            self._report_close()

    # to the attached application

    def attach(
        self,
        on_text: OnMessage,
        on_close: OnClose,
        on_binary: OnMessage | None,
        on_too_large: OnMessage | None = None,
    ) -> None:
        """Pass messages to callbacks from now on, queued ones first. Raises RuntimeError the second time."""
        if self._on_text is not None:
            raise RuntimeError("the connection's socket is attached already")
        self._on_text, self._on_close, self._on_binary = on_text, on_close, on_binary
        self._on_too_large = on_too_large
        if self._queue or self.ended_with is not None:
            self._held = True
            self._connection.pause(Pause.BACKLOG)
            self._schedule()
        self._connection.resume(Pause.QUEUE)

    def pause_delivery(self) -> None:
        """Call no message callback until `resume_delivery()`."""
        self._held = self._application_paused = True

    def resume_delivery(self) -> None:
        """Deliver again, queued messages first, in the next turn of the loop."""
        self._application_paused = False
        if self._queue:
            self._schedule()
        elif not self._scheduled:
            self._held = False

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._connection.loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._scheduled = False
        stop = monotonic() + SLICE_SECONDS
        try:
            while self._queue and not self._application_paused:
                self._deliver(*self._queue.popleft())
                if monotonic() > stop and self._queue:
                    self._schedule()
                    return
        except Exception:
            self._failed()
        if not self._queue:
            self._queue = None
            self._drained()

    def _failed(self) -> None:
        logging.getLogger("relay.transport").exception("The application failed on a message")
        self._connection.fail(1011, "internal error")

    def _drained(self) -> None:
        self._queued_bytes = 0
        self._held = self._application_paused
        self._connection.resume(Pause.BACKLOG)
        if self.ended_with is not None:
            self._report_close()
        elif self._closing is not None:
            closing, self._closing = self._closing, None
            closing()

    def _deliver(self, opcode: int, data: bytes) -> None:
        if opcode == TEXT:
            self._on_text(data)  # type: ignore[misc]
        elif self._on_binary is not None:
            self._on_binary(data)
        else:
            self._connection.fail(1003, "text messages only")

    def _report_close(self) -> None:
        self._wake()
        if self._on_close is not None and not self._close_reported:
            self._close_reported = True
            on_close, code = self._on_close, self.ended_with
            # Drop the references to the application.
            self._on_text, self._on_binary, self._on_close = _ignore, _ignore, None
            try:
                on_close(code or 1006)
            except Exception:
                logging.getLogger("relay.transport").exception("The application failed on the end of a connection")

    # to receive()

    async def receive(self) -> dict[str, Any]:
        """ASGI: the next `websocket.receive` event, or `websocket.disconnect`, repeatedly."""
        while True:
            if self._queue and self._on_text is None:
                return self._event(*self._queue.popleft())
            if self.ended_with is not None and self._on_close is None:
                return {"type": "websocket.disconnect", "code": self.ended_with, "reason": self._connection.reason}
            self._waiter = self._connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _event(self, opcode: int, data: bytes) -> dict[str, Any]:
        self._queued_bytes -= len(data)
        if not self._queue:
            self._queue = None
            self._connection.resume(Pause.QUEUE)
        if opcode == TEXT:
            return {"type": "websocket.receive", "text": data.decode()}
        return {"type": "websocket.receive", "bytes": data}

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _ignore(_: bytes) -> None:
    return

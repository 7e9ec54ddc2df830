"""One WebSocket connection: writes, keepalive, and every way in which it ends.

Rules: all bytes go through one transport in the order of the calls; the write buffer is bounded; whatever the peer
does, a closing connection is closed after `close_seconds`.
"""

import asyncio
from collections.abc import Callable, Sequence

from relay.transport.counters import counters
from relay.transport.frames import EMPTY_PING, PONG, close_frame, frame, text_frames
from relay.transport.inbox import Inbox, Pause
from relay.transport.lingering_close import LingeringClose
from relay.transport.parser import is_empty
from relay.transport.receiving import receiving
from relay.transport.timers import ConnectionTimers

MISSED_PONGS = 2
_PEER_FAULTS = frozenset({1002, 1003, 1007, 1009})


class Connection:
    """A TCP connection from handshake to close. Loop thread only; no method raises because the peer is gone."""

    __slots__ = (
        *("_buffer_age", "_code_sent", "_new_parser", "_on_drained", "_pauses", "_timers", "_writable"),
        *(
            "above_high_water",
            "closing",
            "inbox",
            "is_lost",
            "loop",
            "max_message_bytes",
            "max_queue",
            "on_lost",
            "opened",
            "reason",
        ),
        *("_buffer_bytes", "_part_bytes"),
        *("shrink_wanted", "transport", "unanswered_pings", "write_limit_bytes", "__weakref__"),
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        timers: ConnectionTimers,
        *,
        max_message_bytes: int,
        max_queue: int,
        write_limit_bytes: int,
    ) -> None:
        self.transport = transport
        self.loop = loop
        self.max_message_bytes = max_message_bytes
        self.max_queue = max_queue
        self.write_limit_bytes = write_limit_bytes
        self.inbox = Inbox(self)
        self.opened = False  # accepted
        self.closing = False  # close frame or error response sent, or connection lost: nothing more is sent
        self.is_lost = False
        self.reason = ""
        self.on_lost: Callable[[], None] | None = None
        self.unanswered_pings = 0
        self.shrink_wanted = False
        self._code_sent: int | None = None
        self._timers = timers
        self._pauses = 0
        self._buffer_bytes = self._part_bytes = 0  # held in `receiving`
        self._buffer_age = 0  # pings since the parser's buffer grew; 0: it is small
        self.above_high_water = False
        self._writable: asyncio.Future[None] | None = None
        self._on_drained: Callable[[], None] | None = None
        self._new_parser: Callable[[], asyncio.BufferedProtocol] | None = None

    def open(self, response: bytes, new_parser: Callable[[], asyncio.BufferedProtocol]) -> asyncio.BufferedProtocol:
        """Send the 101 response and let a new parser, which is returned, read."""
        self.opened = True
        counters.connections_open += 1
        counters.connections_opened += 1
        self._new_parser = new_parser
        self.transport.write(response)
        parser = new_parser()
        self.transport.set_protocol(parser)
        if self._timers.pings is not None:
            self._timers.pings.add(self)
        return parser

    def refuse(self, response: bytes) -> None:
        """Send an HTTP error response instead of opening, and close."""
        self.closing = True
        self.transport.write(response)
        self._finish()
        self.inbox.end(1006)

    # writing

    def send_frames(self, payloads: Sequence[bytes]) -> None:
        """Text messages in one write. A write buffer above its bound aborts; a closing connection sends nothing."""
        if self.closing or not payloads:
            return
        data = text_frames(payloads)
        counters.messages_out += len(payloads)
        counters.bytes_out += len(data)
        counters.writes += 1
        self.transport.write(data)
        if self.above_high_water:
            self._check_bound()

    def send(self, opcode: int, payload: bytes) -> None:
        """One text or binary message."""
        if self.closing:
            return
        data = frame(opcode, payload)
        counters.messages_out += 1
        counters.bytes_out += len(data)
        counters.writes += 1
        self._write(data)

    def pong(self, payload: bytes) -> None:
        """Answer a ping, unless the write buffer is above high water: a flood of pings must not fill it."""
        if not self.above_high_water:
            self._write(frame(PONG, payload))

    def _write(self, data: bytes) -> None:
        self.transport.write(data)
        if self.above_high_water:
            self._check_bound()

    def _check_bound(self) -> None:
        if self.transport.get_write_buffer_size() > self.write_limit_bytes:
            counters.aborted_slow_readers += 1
            self.abort()

    def pause_writing(self) -> None:
        """asyncio: the write buffer is above its high-water mark."""
        self.above_high_water = True

    def resume_writing(self) -> None:
        """asyncio: the write buffer is below its low-water mark."""
        self.above_high_water = False
        self._wake_writers()
        if self._on_drained is not None:
            self._on_drained()

    def set_drained(self, callback: Callable[[], None] | None) -> None:
        """Set or remove the one callback of `resume_writing`."""
        self._on_drained = callback

    async def writable(self) -> None:
        """Wait until the write buffer has drained or the connection is lost."""
        while self.above_high_water and not self.is_lost:
            if self._writable is None or self._writable.done():
                self._writable = self.loop.create_future()
            await asyncio.shield(self._writable)

    def _wake_writers(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # reading

    def pause(self, reason: Pause) -> None:
        """Stop reading. A closing connection reads on, unless it failed: the peer's close frame is awaited."""
        if self.closing and reason is not Pause.FAILED:
            return
        before, self._pauses = self._pauses, self._pauses | reason
        if not before and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self, reason: Pause) -> None:
        """Read again when no other reason to pause is left."""
        before, self._pauses = self._pauses, self._pauses & ~reason
        if before and not self._pauses and not self.transport.is_closing():
            self.transport.resume_reading()

    # keepalive, and the parser's memory

    def ping(self) -> None:
        """The ping interval has passed. While reading is paused pongs cannot be seen, so none is counted as missing."""
        if self.closing:
            return
        if self.unanswered_pings >= MISSED_PONGS:
            counters.aborted_ping_timeout += 1
            self.transport.write(close_frame(1011, "pings were not answered"))
            self.abort()
            return
        if not self._pauses:
            self.unanswered_pings += 1
        if self._buffer_age:
            self._buffer_age += 1
            self.shrink_wanted = self._buffer_age > 2
        self._write(EMPTY_PING)
        if self._timers.pings is not None:
            self._timers.pings.add(self)

    def buffer_is_big(self) -> None:
        """The parser's read buffer has grown; after two pings without such growth it is replaced."""
        self._buffer_age = 1
        self.shrink_wanted = False

    def buffer_has_grown(self, size: int) -> None:
        """The parser's read buffer has this size now."""
        self._buffer_bytes = size
        receiving.hold(self, size + self._part_bytes)

    def parts_have_grown(self, size: int) -> None:
        """The fragments of an unfinished message have this size now; 0: it is finished."""
        self._part_bytes = size
        if size or self._buffer_bytes:
            receiving.hold(self, size + self._buffer_bytes)
        else:
            receiving.release(self)

    def give_back(self) -> None:
        """The messages that the worker receives take too much memory, and this connection was the first to begin."""
        if self.closing:
            return
        if not self._part_bytes and is_empty(self.transport.get_protocol()):
            self.shrink_buffer()
            return
        counters.aborted_unfinished += 1
        self.fail(1013, "too many unfinished messages, try again")

    def shrink_buffer(self) -> None:
        """Replace the parser between two reads, while it holds no data: picows' buffer never shrinks."""
        self._buffer_age = 0
        self.shrink_wanted = False
        self.pause(Pause.BUFFER)
        self.loop.call_soon(self._replace_parser)

    def _replace_parser(self) -> None:
        if not self.closing and self._new_parser is not None:
            counters.buffers_shrunk += 1
            self._buffer_bytes = 0
            self.parts_have_grown(self._part_bytes)
            self.transport.set_protocol(self._new_parser())
        self.resume(Pause.BUFFER)

    # the end

    def close(self, code: int, reason: str = "") -> None:
        """Closing handshake: data sent before goes out, the peer has `close_seconds` to answer. Raises ValueError."""
        closing = close_frame(code, reason)
        if self.closing:
            return
        self._begin_close(closing, code)
        self.reason = reason
        self.resume(Pause(self._pauses))  # the peer's answer must be read; its messages are dropped
        self.loop.call_soon(self._end, code)

    def peer_closed(self, code: int, reason: str) -> None:
        """The peer's close frame. An empty one (1005) is answered with 1000."""
        if self._pauses & Pause.FAILED:
            return  # in lingering close
        if not self.closing:
            self._begin_close(close_frame(1000 if code == 1005 else code), code)
            self.reason = reason
        self._finish()
        self._end(code)

    def fail(self, code: int, reason: str) -> None:
        """Protocol error of the peer, or (1011) an error of ours: close and ignore what the peer still sends."""
        if self.closing:
            return
        if code in _PEER_FAULTS:
            counters.protocol_errors += 1
        self._begin_close(close_frame(code, reason), code)
        self.reason = reason
        self.pause(Pause.FAILED)
        self.loop.call_soon(self._linger, code)

    def violation(self, code: int, reason: str) -> None:
        """The parser met a broken frame: fail, after the messages that came before the frame."""
        self.pause(Pause.FAILED)
        self.loop.call_soon(self.fail, code, reason)

    def _linger(self, code: int) -> None:
        self._new_parser = None  # it holds what has come of an unfinished message
        receiving.release(self)
        if not self.transport.is_closing():
            self.transport.set_protocol(LingeringClose(self.abort, self.lost))
            self.resume(Pause(self._pauses))
            self.transport.write_eof()
        self._end(code, discard=True)

    def shut_down(self) -> None:
        """The server stops: `on_close(1012)`, the frames that it sends, then the close frame."""
        if not self.closing:
            self._end(1012, discard=True)
            self.close(1012, "server restarts")

    def abort(self) -> None:
        """Drop the connection and its write buffer now; `on_close(1006)` follows."""
        self.closing = True
        self.transport.abort()

    def lost(self) -> None:
        """The transport's connection_lost: always the last event."""
        self.closing = self.is_lost = True
        self._new_parser = None
        receiving.release(self)
        if self.opened:
            counters.connections_open -= 1
            counters.closed(self.inbox.ended_with or 1006)
        self._timers.closings.discard(self.transport)
        self._wake_writers()
        self._end(1006)
        self._on_drained = None
        if self.on_lost is not None:
            self.on_lost()
            self.on_lost = None

    def _begin_close(self, closing: bytes, code: int) -> None:
        self._write(closing)
        self._code_sent = code
        self.closing = True
        self._timers.closings.add(self.transport)

    def _finish(self) -> None:
        self._timers.closings.add(self.transport)
        self.transport.close()

    def _end(self, code: int, *, discard: bool = False) -> None:
        if self._timers.pings is not None:
            self._timers.pings.discard(self)
        # The side that closed first gave the code, even if the answer or the loss was noticed before `_end` ran.
        self.inbox.end(self._code_sent or code, discard=discard)

"""The states of one WebSocket connection: open, paused, pinged, and every way in which it ends.

Rule: whatever the peer does, a closing connection is closed after `close_seconds`.
"""

import asyncio
from collections.abc import Callable

from relay.transport.counters import counters
from relay.transport.frames import EMPTY_PING, close_frame
from relay.transport.inbox import Inbox
from relay.transport.lingering_close import LingeringClose
from relay.transport.pause import Pause
from relay.transport.read_buffer import ReadBuffer
from relay.transport.timers import ConnectionTimers
from relay.transport.write_buffer import WriteBuffer

MISSED_PONGS = 2
_PEER_FAULTS = frozenset({1002, 1003, 1007, 1009})


class Connection:
    """A TCP connection from handshake to close. Loop thread only; no method raises because the peer is gone."""

    __slots__ = (
        *("_code_sent", "_pauses", "_timers", "closing", "inbox", "is_lost", "loop", "max_message_bytes", "max_queue"),
        *("on_lost", "opened", "read_buffer", "reason", "shrink_wanted", "transport", "unanswered_pings"),
        *("write_buffer", "__weakref__"),
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
        self.inbox = Inbox(self)
        self.read_buffer = ReadBuffer(self)
        self.write_buffer = WriteBuffer(self, write_limit_bytes)
        self.opened = False  # accepted
        self.closing = False  # close frame or error response sent, or connection lost: nothing more is sent
        self.is_lost = False
        self.reason = ""
        self.on_lost: Callable[[], None] | None = None
        self.unanswered_pings = 0
        self.shrink_wanted = False  # by `read_buffer`; here because it is looked up for each frame
        self._code_sent: int | None = None
        self._timers = timers
        self._pauses = 0

    def open(self, response: bytes, new_parser: Callable[[], asyncio.BufferedProtocol]) -> asyncio.BufferedProtocol:
        """Send the 101 response and let a new parser, which is returned, read."""
        self.opened = True
        counters.connections_open += 1
        counters.connections_opened += 1
        self.read_buffer.new_parser = new_parser
        self.transport.write(response)
        parser = new_parser()
        self.transport.set_protocol(parser)
        if self._timers.pings is not None:
            self._timers.pings.add(self)
        return parser

    def refuse(self, response: bytes) -> None:
        """Send an HTTP error response instead of opening, and close."""
        self._stop_sending()
        self.transport.write(response)
        self._finish()
        self.inbox.end(1006)

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

    # keepalive

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
        self.read_buffer.ping()
        self.write_buffer.write(EMPTY_PING)
        if self._timers.pings is not None:
            self._timers.pings.add(self)

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
        self.read_buffer.release()
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
        self._stop_sending()
        self.transport.abort()

    def lost(self) -> None:
        """The transport's connection_lost: always the last event."""
        self.closing = self.is_lost = True
        self.read_buffer.release()
        if self.opened:
            counters.connections_open -= 1
            counters.closed(self.inbox.ended_with or 1006)
        self._timers.closings.discard(self.transport)
        self.write_buffer.lost()
        self._end(1006)
        self.write_buffer.set_drained(None)
        if self.on_lost is not None:
            self.on_lost()
            self.on_lost = None

    def _begin_close(self, closing: bytes, code: int) -> None:
        self.write_buffer.write(closing)
        self._code_sent = code
        self._stop_sending()
        self._timers.closings.add(self.transport)

    def _stop_sending(self) -> None:
        self.closing = self.write_buffer.closed = True

    def _finish(self) -> None:
        self._timers.closings.add(self.transport)
        self.transport.close()

    def _end(self, code: int, *, discard: bool = False) -> None:
        if self._timers.pings is not None:
            self._timers.pings.discard(self)
        # The side that closed first gave the code, even if the answer or the loss was noticed before `_end` ran.
        self.inbox.end(self._code_sent or code, discard=discard)

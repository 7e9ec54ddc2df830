"""Assembles frames into messages: fragments, UTF-8, control frames (RFC 6455, 5.4 to 5.6 and 8.1).

picows checks masks, opcodes, lengths and control frames; fragments, their order, UTF-8 and reserved bits are checked
here. Hot path: few calls, the common case first.
"""

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from relay.transport.connection import Connection
from relay.transport.counters import counters
from relay.transport.frames import BINARY, TEXT, is_wire_close_code

# A module global is looked up faster than an attribute of an enum.
_TEXT, _BINARY, _CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
_PING, _PONG, _CLOSE = WSMsgType.PING, WSMsgType.PONG, WSMsgType.CLOSE
OVERSIZE_BYTES = 65_536
"""A frame that is so much too large is read, so that the application can refuse it by its id; the header of a larger
one closes the connection."""
UNCOUNTED_BYTES = 16_384
"""Fragments up to this size do not count as memory of messages that are being received."""
_BIG_BYTES = 4096  # above it the parser's buffer has grown to at least 7 KB


class Incoming(WSListener):
    """The frame listener of one connection's parser. Its only state is an unfinished message."""

    __slots__ = ("_connection", "_held", "_inbox", "_max_bytes", "_opcode", "_parts", "_read_buffer", "_write_buffer")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inbox = connection.inbox
        self._read_buffer = connection.read_buffer
        self._write_buffer = connection.write_buffer
        self._max_bytes = connection.max_message_bytes
        self._opcode = TEXT
        self._held = UNCOUNTED_BYTES  # what the fragments count for
        self._parts: bytearray | None = None  # joined at once: a million empty fragments take no memory

    def on_ws_frame(self, _: WSTransport, frame: WSFrame) -> None:
        """picows: one frame was parsed."""
        connection = self._connection
        connection.unanswered_pings = 0  # any frame counts as a pong: during an upload pongs come late
        kind = frame.msg_type
        if connection.closing:
            if kind is _CLOSE:
                connection.peer_closed(1005, "")
            return
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            connection.fail(1002, "reserved bits are set")
            return
        last = bool(frame.last_in_buffer)
        if kind is _TEXT and frame.fin and self._parts is None:
            data = frame.get_payload_as_bytes()
            size = len(data)
            if size > self._max_bytes:
                self._too_large(data)
            elif data.isascii() or _is_utf8(data):
                counters.messages_in += 1
                counters.bytes_in += size
                self._inbox.put(TEXT, data, last)
            else:
                connection.fail(1007, "text is not UTF-8")
        else:
            self._unusual(kind, frame, last)
            size = frame.payload_size
        if size > _BIG_BYTES or (not last and frame.tail_size > _BIG_BYTES):
            self._read_buffer.large_frame()
        elif connection.shrink_wanted and last and not frame.tail_size and self._parts is None:
            self._read_buffer.shrink()

    def _unusual(self, kind: WSMsgType, frame: WSFrame, last: bool) -> None:
        if kind is _TEXT or kind is _BINARY or kind is _CONTINUATION:
            self._fragment(kind, frame, last)
            if frame.fin:
                return
        elif kind is _PING:
            self._write_buffer.pong(frame.get_payload_as_bytes())
        elif kind is _CLOSE:
            self._close(frame.get_payload_as_bytes())
        self._inbox.frame_without_message(last)

    def _fragment(self, kind: WSMsgType, frame: WSFrame, last: bool) -> None:
        if kind is _CONTINUATION:
            if self._parts is None:
                self._connection.fail(1002, "continuation of nothing")
                return
        elif self._parts is not None:
            self._connection.fail(1002, "a message began inside another")
            return
        else:
            self._opcode = TEXT if kind is _TEXT else BINARY
            self._parts = bytearray()
        if len(self._parts) + frame.payload_size > self._max_bytes:
            self._too_large(bytes(self._parts) + frame.get_payload_as_bytes() if self._opcode == TEXT else b"")
            return
        self._parts += frame.get_payload_as_bytes()
        if len(self._parts) > self._held:
            self._held = 2 * len(self._parts)  # noted at each doubling: fragments may have one byte
            self._read_buffer.parts_grown(self._held)
        if frame.fin:
            self._whole(last)

    def _too_large(self, beginning: bytes) -> None:
        """Close, after the application has had the chance to refuse what it can read."""
        self._inbox.too_large(beginning)
        self._connection.fail(1009, f"messages have at most {self._max_bytes} bytes")

    def _whole(self, last: bool) -> None:
        data, self._parts = bytes(self._parts or b""), None
        if self._held > UNCOUNTED_BYTES:
            self._held = UNCOUNTED_BYTES
            self._read_buffer.parts_grown(0)
        if self._opcode == TEXT and not (data.isascii() or _is_utf8(data)):
            self._connection.fail(1007, "text is not UTF-8")
            return
        counters.messages_in += 1
        counters.bytes_in += len(data)
        self._inbox.put(self._opcode, data, last)

    def _close(self, payload: bytes) -> None:
        """picows has checked the length and the reason's UTF-8, but not the code."""
        code = int.from_bytes(payload[:2], "big") if payload else 1005
        if payload and not is_wire_close_code(code):
            self._connection.fail(1002, "illegal close code")
            return
        reason = payload[2:].decode("utf-8", "replace")
        connection = self._connection
        self._inbox.after_messages(lambda: connection.peer_closed(code, reason))

    def on_ws_disconnected(self, _: WSTransport) -> None:
        """picows: the socket is closed."""
        self._connection.lost()

    def pause_writing(self) -> None:
        """asyncio: the write buffer is above its high-water mark."""
        self._write_buffer.pause_writing()

    def resume_writing(self) -> None:
        """asyncio: the write buffer is below its low-water mark."""
        self._write_buffer.resume_writing()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

"""picows as a frame parser only; the one module that uses its private WSProtocol.

picows reads, unmasks and splits frames in C. What it would write (handshake response, close frame after an error) goes
to a fake transport that turns it into a call, so that only this package writes to the socket, in one order, with one
bound. Pinned: picows 2.3.1.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from picows import WSAutoPingStrategy, WSListener
from picows.picows import WSProtocol  # type: ignore[attr-defined]

READ_BUFFER_BYTES = 2048  # picows' minimum; the buffer grows by doubling and never shrinks
_INITIAL_BYTES = READ_BUFFER_BYTES - 256  # picows keeps 256 for itself
READ_BYTES = 16384  # at most per read: its frames, up to 2,700, are handled in one callback

# picows wants a handshake; the client's real one was validated before (handshake.py).
_REQUEST = (
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)

OnViolation = Callable[[int, str], None]


class _NoSocket:
    """Hides the file descriptor from picows, which would send past the transport."""

    __slots__ = ()

    def fileno(self) -> int:
        return -1

    def setsockopt(self, *_: object) -> None:
        return

    def getsockopt(self, *_: object) -> int:
        return 0


class _Log:
    """Client errors are counted, not logged; exceptions of ours are logged with their traceback."""

    __slots__ = ()

    def isEnabledFor(self, level: int) -> bool:
        return level > logging.ERROR

    def _drop(self, *_: object) -> None:
        return

    log = debug = info = warning = error = _drop

    def exception(self, message: str, *arguments: object) -> None:
        logging.getLogger("relay.transport").exception(message, *arguments)


_NO_SOCKET = _NoSocket()
_LOG = _Log()


class _FakeTransport:
    """picows' transport: a close frame that it writes becomes a call of `on_violation`."""

    __slots__ = ("_on_violation",)

    def __init__(self, on_violation: OnViolation) -> None:
        self._on_violation = on_violation

    def get_extra_info(self, name: str, default: object = None) -> object:
        return _NO_SOCKET if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        return 1  # never empty: picows always calls write()

    def write(self, data: bytes) -> None:
        if data[0] == 0x88:
            self._on_violation(int.from_bytes(data[2:4], "big"), bytes(data[4:]).decode("utf-8", "replace"))

    def close(self) -> None:
        """Ignored: picows closes 10 ms after an error, our closing handshake takes longer."""

    def abort(self) -> None:
        """Ignored, as `close()` is."""


class _Parser(WSProtocol):  # type: ignore[misc]
    __slots__ = ("on_growth", "size")

    on_growth: Callable[[int], None] | None
    size: int  # of the read buffer, READ_BYTES while it is smaller

    def get_buffer(self, sizehint: int) -> memoryview:
        buffer: memoryview = WSProtocol.get_buffer(self, sizehint)
        free = len(buffer)
        if free <= READ_BUFFER_BYTES:
            return buffer
        if free > self.size:
            self._grown(free)
        # Never filled to its last byte: then what is free after it has grown is more than what it had.
        return buffer[: min(READ_BYTES, free - 1)]

    def _grown(self, free: int) -> None:
        # It doubles when it is nine tenths full, so what is free then is more than half of it.
        size = _INITIAL_BYTES
        while size < free:
            size *= 2
        self.size = size
        if self.on_growth is not None:
            self.on_growth(size)


def is_empty(parser: object) -> bool:
    """Whether the parser's buffer, which has grown, holds no part of a frame."""
    if not isinstance(parser, _Parser):
        return False
    # It may have grown once since it was last asked for.
    return len(WSProtocol.get_buffer(parser, -1)) in (parser.size, 2 * parser.size)


def new_parser(
    listener: WSListener,
    on_violation: OnViolation,
    max_frame_bytes: int,
    on_growth: Callable[[int], None] | None = None,
) -> asyncio.BufferedProtocol:
    """A protocol for `transport.set_protocol()` that calls `listener` for each frame of an open WebSocket.

    `on_growth(size)`: the read buffer has grown to so many bytes, 28 KB or 57 KB at first.
    The first broken frame gives `on_violation(code, reason)`; nothing may be fed afterwards. `on_ws_disconnected`,
    `pause_writing` and `resume_writing` of the listener are called as usual.
    """
    idle = reply = 1.0
    parser = _Parser(
        *("", "", False, lambda _: listener, _LOG, True, None),
        *(False, idle, reply, WSAutoPingStrategy.PING_WHEN_IDLE),
        *(False, max_frame_bytes, None, READ_BUFFER_BYTES),
    )
    parser.on_growth = on_growth
    parser.size = READ_BYTES
    parser.connection_made(_FakeTransport(on_violation))
    feed(parser, _REQUEST)
    parser.transport.request.headers = parser.transport.response.headers = None  # 1 KB, unused
    return cast(asyncio.BufferedProtocol, parser)


def feed(parser: Any, data: bytes) -> None:
    """Pass bytes that another protocol has read to the parser."""
    rest = memoryview(data)
    while rest:  # the parser's buffer may be smaller than the data
        buffer = parser.get_buffer(len(rest))
        count = min(len(buffer), len(rest))
        buffer[:count] = rest[:count]
        parser.buffer_updated(count)
        rest = rest[count:]

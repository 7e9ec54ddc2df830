"""The only module that knows picows' private WSProtocol: here it is a parser and nothing else.

picows reads, unmasks and cuts frames out of its buffer, in C. Everything it would write (its handshake
response, the close frame after an error) goes to an `_Outlet` that turns it into a call, so that this
package alone writes to the socket, in one order, with one bound. Pinned: picows 2.3.1.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from picows import WSAutoPingStrategy, WSListener
from picows.picows import WSProtocol  # type: ignore[attr-defined]

READ_BUFFER_BYTES = 2048  # the least that picows takes; it grows by doubling and never shrinks
READ_BYTES = 16384  # one read at most: its frames come in one go, and of the smallest there are 2,700 in it

# Always the same, so its size is known: the client's real request was judged before (handshake.py).
_REQUEST = (
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)

OnViolation = Callable[[int, str], None]


class _NoSocket:
    """Keeps picows from the file descriptor: it would send past the transport."""

    __slots__ = ()

    def fileno(self) -> int:
        return -1

    def setsockopt(self, *_: object) -> None:
        return

    def getsockopt(self, *_: object) -> int:
        return 0


class _Log:
    """A client's faults are counted, not logged; a fault of ours is logged with its traceback."""

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


class _Outlet:
    """What picows takes for its transport."""

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
        """picows closes 10 ms after an error; the closing handshake is ours."""

    def abort(self) -> None:
        """As for close()."""


class _Parser(WSProtocol):  # type: ignore[misc]
    __slots__ = ()

    def get_buffer(self, sizehint: int) -> memoryview:
        room: memoryview = WSProtocol.get_buffer(self, sizehint)
        return room if len(room) <= READ_BYTES else room[:READ_BYTES]


def new_parser(listener: WSListener, on_violation: OnViolation, max_frame_bytes: int) -> asyncio.BufferedProtocol:
    """A protocol for `transport.set_protocol()` that calls the listener's methods for frames of an open WebSocket.

    A broken frame gives `on_violation(code, reason)`, once: nothing may be fed afterwards. The listener's
    `on_ws_disconnected` is called when the connection is lost, `pause_writing` and `resume_writing` as usual.
    """
    idle = reply = 1.0
    parser = _Parser(
        *("", "", False, lambda _: listener, _LOG, True, None),
        *(False, idle, reply, WSAutoPingStrategy.PING_WHEN_IDLE),
        *(False, max_frame_bytes, None, READ_BUFFER_BYTES),
    )
    parser.connection_made(_Outlet(on_violation))
    feed(parser, _REQUEST)
    parser.transport.request.headers = parser.transport.response.headers = None  # 1 KB that nobody reads
    return cast(asyncio.BufferedProtocol, parser)


def feed(parser: Any, data: bytes) -> None:
    """Hand bytes over that another protocol has read. The buffer may be smaller than the data."""
    rest = memoryview(data)
    while rest:
        room = parser.get_buffer(len(rest))
        count = min(len(room), len(rest))
        room[:count] = rest[:count]
        parser.buffer_updated(count)
        rest = rest[count:]

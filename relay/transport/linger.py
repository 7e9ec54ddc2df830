"""What is left of a connection whose peer broke the protocol: it is read, and thrown away, to the end.

Closing a socket that has unread bytes sends a reset, which may destroy the close frame before the peer has
read it. So we end our direction, and read until the peer ends its own; bounded in bytes here, in time by the
deadline of the closing handshake.
"""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.transport.connection import Connection

_LIMIT_BYTES = 1024 * 1024
_scratch = bytearray(65536)  # nobody looks at what is in it


class Linger(asyncio.BufferedProtocol):
    """Takes the parser's place after a failure."""

    __slots__ = ("_connection", "_left")

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._left = _LIMIT_BYTES

    def get_buffer(self, sizehint: int) -> bytearray:
        return _scratch

    def buffer_updated(self, nbytes: int) -> None:
        self._left -= nbytes
        if self._left < 0:
            self._connection.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.lost()

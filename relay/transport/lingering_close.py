"""Lingering close (nginx has the same): after a protocol error the socket is read, and the data dropped, to its end.

Closing a socket that has unread bytes sends a reset, which may destroy the close frame before the peer has read it.
So our direction is ended and the peer's is read until it ends; bounded in bytes here, in time by the deadline of the
closing handshake.
"""

import asyncio
from collections.abc import Callable

_LIMIT_BYTES = 1024 * 1024
_scratch = bytearray(65536)  # shared by all: its content is never read


class LingeringClose(asyncio.BufferedProtocol):
    """Replaces the parser after a failure. `on_excess`: more than 1 MiB was read; `on_lost`: the socket is closed."""

    __slots__ = ("_left_bytes", "_on_excess", "_on_lost")

    def __init__(self, on_excess: Callable[[], None], on_lost: Callable[[], None]) -> None:
        self._on_excess = on_excess
        self._on_lost = on_lost
        self._left_bytes = _LIMIT_BYTES

    def get_buffer(self, sizehint: int) -> bytearray:
        """asyncio: where to read to."""
        return _scratch

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio: so many bytes were read."""
        self._left_bytes -= nbytes
        if self._left_bytes < 0:
            self._on_excess()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the socket is closed."""
        self._on_lost()

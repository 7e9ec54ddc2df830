"""The memory of what one connection is receiving: the parser's read buffer, and the fragments of an unfinished message.

Rules: it counts towards the budget of the worker (`receiving`); a read buffer that a large frame has made grow is
replaced by a small one after two pings without such a frame, since picows' buffer never shrinks.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from relay.transport.counters import counters
from relay.transport.parser import is_empty
from relay.transport.pause import Pause
from relay.transport.receiving import receiving


class Connection(Protocol):
    """What a read buffer needs of its connection; `relay.transport.connection.Connection` is the one there is."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    closing: bool
    shrink_wanted: bool

    def pause(self, reason: Pause) -> None:
        """Stop reading from the socket."""

    def resume(self, reason: Pause) -> None:
        """Read again when no other reason to pause is left."""

    def fail(self, code: int, reason: str) -> None:
        """Close because of an error."""


class ReadBuffer:
    """What one connection holds. `connection.shrink_wanted` says that the parser is to be replaced."""

    __slots__ = ("_age", "_bytes", "_connection", "_part_bytes", "new_parser")

    def __init__(self, connection: Connection) -> None:
        self.new_parser: Callable[[], asyncio.BufferedProtocol] | None = None
        self._connection = connection
        self._bytes = self._part_bytes = 0  # held in `receiving`
        self._age = 0  # pings since it grew; 0: it is small

    def large_frame(self) -> None:
        """A frame that needs a large buffer came: it is kept for two pings more."""
        self._age = 1
        self._connection.shrink_wanted = False

    def ping(self) -> None:
        """The ping interval has passed."""
        if self._age:
            self._age += 1
            self._connection.shrink_wanted = self._age > 2

    def grown(self, size: int) -> None:
        """The parser's buffer has this size now, in bytes."""
        self._bytes = size
        receiving.hold(self, size + self._part_bytes)

    def parts_grown(self, size: int) -> None:
        """The fragments of an unfinished message have this size now, in bytes; 0: it is finished."""
        self._part_bytes = size
        if size or self._bytes:
            receiving.hold(self, size + self._bytes)
        else:
            receiving.release(self)

    def give_back(self) -> None:
        """The messages that the worker receives take too much memory, and this connection was the first to begin."""
        connection = self._connection
        if connection.closing:
            return
        if not self._part_bytes and is_empty(connection.transport.get_protocol()):
            self.shrink()
            return
        counters.aborted_unfinished += 1
        connection.fail(1013, "too many unfinished messages, try again")

    def shrink(self) -> None:
        """Replace the parser between two reads, while it holds no data."""
        self._age = 0
        self._connection.shrink_wanted = False
        self._connection.pause(Pause.BUFFER)
        self._connection.loop.call_soon(self._replace_parser)

    def _replace_parser(self) -> None:
        connection = self._connection
        if not connection.closing and self.new_parser is not None:
            counters.buffers_shrunk += 1
            self._bytes = 0
            self.parts_grown(self._part_bytes)
            connection.transport.set_protocol(self.new_parser())
        connection.resume(Pause.BUFFER)

    def release(self) -> None:
        """Nothing more is received as messages."""
        self.new_parser = None  # it holds what has come of an unfinished message
        receiving.release(self)

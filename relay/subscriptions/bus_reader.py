"""Receives the messages of one server's channels over a connection of its own.

It replaces the receiver of the channel layer, which costs three times as much for a message (docs/scaling.md), queues
messages without a bound, and does not report that its connection is lost. Rule: a message is handled on arrival; while
that takes long, other work of the loop goes first, and the socket is not read.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import hiredis

from relay.redis_url import parse

TURN_SECONDS = 0.005
MESSAGE, CONFIRMED = b"message", b"subscribe"
_NOTHING: Final = object()

pack = cast(Callable[[tuple[bytes | int | str, ...]], bytes], hiredis.pack_command)


class Reader(asyncio.Protocol):
    """A subscription. `ready` completes when all channels are confirmed; `on_lost` is called once, unless `close` was
    called before.
    """

    def __init__(
        self,
        commands: Sequence[tuple[bytes | int | str, ...]],
        channels: Sequence[str],
        take: Callable[[bytes], None],
        on_lost: Callable[[Exception], None],
    ) -> None:
        """`commands` log in; `take` gets the data of each message and does not raise."""
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self._commands = [*commands, ("SUBSCRIBE", *channels)]
        self._unconfirmed = len(channels)
        self._take = take
        self._on_lost = on_lost
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(b"".join(map(pack, self._commands)))

    def data_received(self, data: bytes) -> None:
        """From asyncio.Protocol."""
        self._reader.feed(data)
        self._go_on()

    def _go_on(self) -> None:
        stop = time.monotonic() + TURN_SECONDS
        try:
            while self.is_open and (reply := self._reader.gets()) is not _NOTHING:
                self._judge(reply)
                if time.monotonic() > stop:
                    self._pause()
                    return
        except hiredis.ProtocolError as error:
            self._lose(error)

    def _pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        if self.is_open and self._transport is not None:
            self._transport.resume_reading()
            self._go_on()

    def _judge(self, reply: Any) -> None:
        if type(reply) is list and reply[0] == MESSAGE:
            self._take(reply[2])
        elif type(reply) is list and reply[0] == CONFIRMED:
            self._unconfirmed -= 1
            if not self._unconfirmed and not self.ready.done():
                self.ready.set_result(None)
        elif type(reply) is list:  # as a node of a Cluster may do when it is demoted
            self._lose(ConnectionError("the server ended the subscription"))
        elif isinstance(reply, Exception):
            self._lose(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """From asyncio.Protocol."""
        self._lose(exc or ConnectionError("the server closed the connection"))

    def _lose(self, error: Exception) -> None:
        if not self.is_open:
            return
        self.close()
        if self.ready.done():
            self._on_lost(error)
        else:
            self.ready.set_exception(error)

    def close(self) -> None:
        """End the subscription."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()


async def hear(
    url: str, channels: Sequence[str], take: Callable[[bytes], None], on_lost: Callable[[Exception], None]
) -> Reader:
    """Subscribe to channels of the server at `url`; returns when it has confirmed them. Raises OSError, ValueError or
    the server's hiredis.ReplyError.
    """
    address = parse(url)
    (endpoint,) = address.endpoints
    loop = asyncio.get_running_loop()
    reader = Reader(address.greeting(), channels, take, on_lost)
    try:
        if endpoint.port:
            await loop.create_connection(lambda: reader, endpoint.host, endpoint.port, ssl=address.tls)
        else:
            await loop.create_unix_connection(lambda: reader, endpoint.host)
        await reader.ready
        if not reader.is_open:
            raise ConnectionError("the server closed the connection")
    except BaseException:
        reader.close()
        raise
    return reader

"""uvicorn's HTTP protocol with a deadline: `uvicorn --http relay.transport.http_protocol:RelayHTTPProtocol`.

uvicorn has no timeout for a request head, and its limit_concurrency does not count upgrades. Rules: a client that has
not sent a whole head after `HEAD_SECONDS` is dropped (slowloris: single bytes do not extend it); above the limit an
upgrade gets 503. A head has at most 16 KiB (h11); 64 KiB may follow it before the WebSocket is accepted.
"""

import asyncio
from typing import ClassVar
from weakref import WeakKeyDictionary

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from relay.transport.counters import counters
from relay.transport.deadlines import Deadlines
from relay.transport.handshake import response


class RelayHTTPProtocol(H11Protocol):
    """One connection until it is upgraded or closed."""

    HEAD_SECONDS: ClassVar[float] = 10.0

    _deadlines: ClassVar["WeakKeyDictionary[ServerState, Deadlines[RelayHTTPProtocol]]"] = WeakKeyDictionary()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio: start the timeout of the first head."""
        super().connection_made(transport)
        deadlines = self._deadlines.get(self.server_state)
        if deadlines is None:
            deadlines = Deadlines(self.loop, self.HEAD_SECONDS, RelayHTTPProtocol.head_overdue)
            self._deadlines[self.server_state] = deadlines
        self._waiting = deadlines
        deadlines.add(self)

    def data_received(self, data: bytes) -> None:
        """asyncio: a whole head ends the timeout; the next request of a keep-alive connection starts it again."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._waiting.discard(self)
        elif self not in self._waiting and not self.transport.is_closing():
            self._waiting.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the socket is closed."""
        self._waiting.discard(self)
        super().connection_lost(exc)

    def head_overdue(self) -> None:
        """Close: with 408 after part of a head, without a response after none."""
        counters.handshakes_timed_out += 1
        if self.conn.trailing_data[0]:
            self.transport.write(response(408, [], b"The request's head took too long."))
        self.transport.close()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand over to the WebSocket protocol, with the bytes after the head (uvicorn drops those)."""
        self._waiting.discard(self)
        if event.http_version < b"1.1":
            self._refuse(400, b"A WebSocket handshake needs HTTP/1.1.")
        elif self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency:
            self._refuse(503, b"Too many connections.")
        else:
            early, _ = self.conn.trailing_data
            super().handle_websocket_upgrade(event)
            protocol = self.transport.get_protocol()
            if early and isinstance(protocol, asyncio.Protocol):
                protocol.data_received(early)

    def _refuse(self, status: int, text: bytes) -> None:
        self.transport.write(response(status, [], text))
        self.transport.close()

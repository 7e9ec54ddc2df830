"""uvicorn's HTTP protocol with a deadline: `uvicorn --http relay.transport.http_protocol:RelayHTTPProtocol`.

uvicorn waits for ever for a silent client, or for the second half of a request's head, and its
limit_concurrency does not count upgrades. Rules: whoever has not sent a whole head after
`HEAD_SECONDS` is dropped (bytes sent one by one do not extend it); above the limit an upgrade gets 503.
A head has at most 16 KiB (h11), 64 KiB may follow it before the WebSocket is accepted.
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
        super().connection_made(transport)
        deadlines = self._deadlines.get(self.server_state)
        if deadlines is None:
            deadlines = Deadlines(self.loop, self.HEAD_SECONDS, RelayHTTPProtocol.head_overdue)
            self._deadlines[self.server_state] = deadlines
        self._waiting = deadlines
        deadlines.add(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._waiting.discard(self)
        elif self not in self._waiting and not self.transport.is_closing():
            self._waiting.add(self)  # a later request of a kept connection has begun

    def connection_lost(self, exc: Exception | None) -> None:
        self._waiting.discard(self)
        super().connection_lost(exc)

    def head_overdue(self) -> None:
        """Half a head is answered with 408, silence with nothing."""
        counters.handshakes_timed_out += 1
        if self.conn.trailing_data[0]:
            self.transport.write(response(408, [], b"The request's head took too long."))
        self.transport.close()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand over to the WebSocket protocol, and what came behind the head with it (uvicorn drops that)."""
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

"""uvicorn's HTTP protocol with bounds: `uvicorn --http relay.transport.http_protocol:RelayHTTPProtocol`.

uvicorn has no timeout for a request, no bound of its body and none of connections that have not sent a head. Rules:
every connection counts from its accept, for all and for its network (admission.py); head and body have one deadline,
which single bytes do not extend (slowloris), the response has another; what strict_http.py refuses is answered and
closed. 64 KiB may follow a handshake before the WebSocket is accepted.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from relay.transport.admission import Admission, Network
from relay.transport.counters import counters
from relay.transport.deadlines import Deadlines
from relay.transport.handshake import Headers, response
from relay.transport.lingering_close import LingeringClose
from relay.transport.occasional_log import OccasionalLog
from relay.transport.strict_http import StrictConnection

ADDRESS_LIMIT = "too many connections from this address\n"
FULL = "the relay has too many connections\n"

_LINGER_SECONDS = 2.0  # for a client to read why it was refused
_LINGERING = 64  # of one server at a time; more are cut without it
_UNBOUNDED = 1 << 62

# Refused requests are counted: a line for each would let any client fill the disk.
_quiet = logging.getLogger("relay.http.protocol")
_quiet.setLevel(logging.ERROR)
_full = OccasionalLog(
    logging.getLogger("relay.http"), "%d connections were refused or cut: the worker has its limit of %d"
)


@runtime_checkable
class _Followed(Protocol):
    """A WebSocket protocol that says when its socket is closed."""

    def when_lost(self, callback: Callable[[], None]) -> None: ...


class _Shared:
    """What the connections of one running server share."""

    def __init__(self, first: "RelayHTTPProtocol") -> None:
        kind, loop = type(first), first.loop
        self.requests = Deadlines(loop, kind.REQUEST_SECONDS, RelayHTTPProtocol.request_overdue)
        self.responses = Deadlines(loop, kind.RESPONSE_SECONDS, RelayHTTPProtocol.response_overdue)
        self.lingering: Deadlines[asyncio.Transport] = Deadlines(loop, _LINGER_SECONDS, asyncio.Transport.abort)
        connections = first.config.limit_concurrency or _UNBOUNDED
        self.admission = Admission(connections, kind.CONNECTIONS_PER_NETWORK, kind.EXEMPT)


_shared: "WeakKeyDictionary[ServerState, _Shared]" = WeakKeyDictionary()


def unfinished_requests(state: ServerState) -> int:
    """How many connections of a running server have not sent the whole of their request yet."""
    shared = _shared.get(state)
    return len(shared.requests) if shared is not None else 0


class RelayHTTPProtocol(H11Protocol):
    """One connection until it is upgraded or closed. uvicorn's limit_concurrency bounds all kinds together."""

    REQUEST_SECONDS: ClassVar[float] = 10.0  # from the accept, or a request's first byte, to the end of its body
    RESPONSE_SECONDS: ClassVar[float] = 60.0  # from there to the response's last byte in the kernel
    CONNECTIONS_PER_NETWORK: ClassVar[int] = _UNBOUNDED
    EXEMPT: ClassVar[tuple[Network, ...]] = ()  # networks without that bound
    LARGE_BODIES: ClassVar[Mapping[bytes, int]] = {}  # targets with a bound of their own; no more than 64 KiB are
    # read ahead of the application, which must know who sends before it reads the rest

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn: StrictConnection = StrictConnection(large=self.LARGE_BODIES)
        self.logger = _quiet
        self.limit_concurrency = None  # admission.py counts
        self._network: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio: count the connection and start the timeout of the first request, or refuse it."""
        super().connection_made(transport)
        self._shared = shared = _shared.get(self.server_state) or _shared.setdefault(self.server_state, _Shared(self))
        self._network = shared.admission.enter(self.client[0] if self.client else None)
        if self._network is None:
            self._refuse("address_limit", 503, ADDRESS_LIMIT)
        elif shared.admission.is_full and not self._make_room():
            self._refuse("full", 503, FULL)
        else:
            shared.requests.add(self)

    def _make_room(self) -> bool:
        """Cut the connection that has waited longest to complete a request; False if there is none."""
        _full.count(self._shared.admission.connections)
        oldest = self._shared.requests.first()
        if oldest is None:
            return False
        counters.refused("cut_for_others")
        self._shared.requests.discard(oldest)
        oldest.transport.abort()
        return True

    def data_received(self, data: bytes) -> None:
        """asyncio: read requests and keep their deadlines."""
        super().data_received(data)
        self._watch(began=True)

    def on_response_complete(self) -> None:
        """uvicorn: a response was written, and a pipelined request may have begun."""
        shared = self._shared
        if self.transport.get_write_buffer_size() == 0:
            shared.responses.discard(self)
        elif self not in shared.responses:
            shared.responses.add(self)
        super().on_response_complete()
        self._watch(began=self.conn.in_body)

    def _watch(self, *, began: bool) -> None:
        """Move this connection between the two deadlines. `began`: it has sent a part of a request."""
        if self.transport.get_protocol() is not self or self.transport.is_closing():
            return
        shared = self._shared
        if self.conn.their_state is h11.IDLE or self.conn.in_body:
            if began and self not in shared.requests:
                shared.requests.add(self)
            return
        shared.requests.discard(self)
        if self.cycle is not None and not self.cycle.response_complete and self not in shared.responses:
            shared.responses.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the socket is closed."""
        self._shared.requests.discard(self)
        self._shared.responses.discard(self)
        self._leave()
        super().connection_lost(exc)

    def _leave(self) -> None:
        if self._network is not None:
            self._shared.admission.leave(self._network)
            self._network = None

    def request_overdue(self) -> None:
        """Close: with 408 after part of a request, without a response after none."""
        counters.handshakes_timed_out += 1
        if self.conn.in_body or self.conn.trailing_data[0]:
            self._refuse("overdue", 408, "The request took too long.")
        else:
            self.transport.close()

    def response_overdue(self) -> None:
        """Cut a client that does not read its response."""
        if self.transport.get_write_buffer_size() or (self.cycle is not None and not self.cycle.response_complete):
            counters.refused("slow_reader")
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """uvicorn: the request is refused."""
        status, text = self.conn.refusal
        self._refuse({413: "body", 431: "head"}.get(status, "malformed"), status, text)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand over to the WebSocket protocol, with the bytes after the head (uvicorn drops those)."""
        self._shared.requests.discard(self)
        if event.http_version < b"1.1":
            self._refuse("malformed", 400, "A WebSocket handshake needs HTTP/1.1.")
            return
        early, _ = self.conn.trailing_data
        super().handle_websocket_upgrade(event)
        protocol = self.transport.get_protocol()
        if isinstance(protocol, _Followed):
            protocol.when_lost(self._leave)
        elif isinstance(protocol, asyncio.Protocol):
            _after_loss(protocol, self)
        if early and isinstance(protocol, asyncio.Protocol):
            protocol.data_received(early)

    def _refuse(self, reason: str, status: int, text: str) -> None:
        """Count, answer if no response has begun, and close once the client has read it, within 2 s."""
        counters.refused(reason)
        shared, cycle, transport = self._shared, self.cycle, self.transport
        shared.requests.discard(self)
        shared.responses.discard(self)
        self._unset_keepalive_if_required()
        begun = False
        if cycle is not None:
            begun = cycle.response_started and not cycle.response_complete
            cycle.disconnected = True
            cycle.message_event.set()
        if begun or len(shared.lingering) >= _LINGERING:
            transport.abort()
            return
        if not (self.conn.in_body and cycle is not None and cycle.response_complete):
            headers: Headers = [(b"Retry-After", b"10")] if status == 503 else []
            transport.write(response(status, headers, text.encode()))
        transport.set_protocol(LingeringClose(transport.abort, self._lingered))
        transport.resume_reading()
        transport.write_eof()
        shared.lingering.add(transport)

    def _lingered(self) -> None:
        self._shared.lingering.discard(self.transport)
        self.connection_lost(None)


def _after_loss(protocol: asyncio.Protocol, http: RelayHTTPProtocol) -> None:
    """Have uvicorn's own WebSocket protocols count the end of their connection."""
    lost = protocol.connection_lost

    def connection_lost(exc: Exception | None) -> None:
        http._leave()
        lost(exc)

    protocol.connection_lost = connection_lost  # type: ignore[method-assign]

"""A WebSocket protocol for uvicorn on picows: `uvicorn --ws relay.transport.picows_protocol:PicowsProtocol`.

uvicorn's HTTP protocol reads the request head, constructs this class, calls `connection_made` and
`data_received(head)` and makes it the transport's protocol. It runs the ASGI application; at `websocket.accept` the
parser becomes the transport's protocol, and this object remains as the ASGI side.
Rule: ASGI exactly as uvicorn's own protocols implement it, plus the extension `relay.direct`.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.utils import (
    ClientDisconnected,
    get_client_addr,
    get_local_addr,
    get_path_with_query_string,
    get_remote_addr,
    is_ssl,
)
from uvicorn.server import ServerState

from relay.transport import handshake
from relay.transport.connection import Connection
from relay.transport.counters import counters
from relay.transport.direct import DirectSocket
from relay.transport.frames import BINARY, TEXT
from relay.transport.incoming import OVERSIZE_BYTES, Incoming
from relay.transport.parser import feed, new_parser
from relay.transport.pause import Pause
from relay.transport.timers import timers_of

_log = logging.getLogger("uvicorn.error")


class PicowsProtocol(asyncio.Protocol):
    """One connection, as uvicorn sees it. Configured by uvicorn's ws_max_size, ws_max_queue, ws_ping_interval.

    ws_ping_timeout is not used: two missed pongs in a row end a connection (01-S14). Compression is never agreed on.
    """

    WRITE_LIMIT_BYTES = 16 * 1024 * 1024
    CLOSE_SECONDS = 5.0  # for the peer's part of the closing handshake
    EARLY_LIMIT_BYTES = 65536  # data before the 101 response

    __slots__ = (
        *("_accept", "_app", "_app_closed", "_config", "_connected", "_connection", "_early", "_loop", "_on_lost"),
        *("_response", "_scope", "_server_state", "_state", "_transport", "__weakref__"),
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._server_state = server_state
        self._state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._accept = b""
        self._scope: dict[str, Any] | None = None
        self._early: bytearray | None = None
        self._on_lost: Callable[[], None] | None = None
        self._connected = False  # the application has had websocket.connect
        self._app_closed = False  # the application has sent its last event
        self._response: tuple[int, handshake.Headers, bytearray] | None = None

    # called by uvicorn and asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: uvicorn hands over its transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._connection = Connection(
            self._transport,
            self._loop,
            timers_of(self._server_state, self._loop, self._config.ws_ping_interval, self.CLOSE_SECONDS),
            max_message_bytes=self._config.ws_max_size,
            max_queue=self._config.ws_max_queue,
            write_limit_bytes=self.WRITE_LIMIT_BYTES,
        )
        self._connection.on_lost = self._forget
        self._server_state.connections.add(self)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """asyncio: first the whole request head, then data that the client sends before the 101 response."""
        if self._scope is None:
            self._begin(data)
        elif not self._connection.closing:
            self._early = self._early or bytearray()
            self._early += data
            if len(self._early) >= self.EARLY_LIMIT_BYTES:
                self._connection.pause(Pause.EARLY)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the socket is closed."""
        self._connection.lost()

    def shutdown(self) -> None:
        """uvicorn stops: close an open connection with 1012, answer a pending handshake with 503."""
        if self._connection.opened:
            self._connection.shut_down()
        elif not self._connection.closing:
            self._refuse(503, [], b"The server restarts.")

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, when the socket is closed."""
        self._on_lost = callback

    def _forget(self) -> None:
        self._server_state.connections.discard(self)
        if self._on_lost is not None:
            self._on_lost()
            self._on_lost = None

    def _begin(self, head: bytes) -> None:
        request = handshake.read_request(head)
        self._scope = scope = self._new_scope(request)
        try:
            self._accept = handshake.accept_key(request)
        except handshake.Refused as refused:
            counters.handshakes_refused += 1
            self._refuse(refused.status, refused.headers, str(refused).encode())
            return
        task = self._loop.create_task(self._run(scope))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def _new_scope(self, request: handshake.Request) -> dict[str, Any]:
        raw_path, _, query = request.target.partition(b"?")
        root_path = self._config.root_path
        return {
            "type": "websocket",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(self._transport) else "ws",
            "server": get_local_addr(self._transport),
            "client": get_remote_addr(self._transport),
            "root_path": root_path,
            "path": root_path + unquote(raw_path.decode("ascii")),
            "raw_path": root_path.encode("ascii") + raw_path,
            "query_string": query,
            "headers": request.headers,
            "subprotocols": request.subprotocols,
            "state": self._state.copy(),
            "extensions": {
                "websocket.http.response": {},
                "relay.direct": {"socket": DirectSocket(self._connection)},
            },
        }

    # called by the application

    async def _run(self, scope: dict[str, Any]) -> None:
        connection = self._connection
        try:
            result: Any = await self._config.loaded_app(scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException as fault:
            _log.error("Exception in ASGI application\n", exc_info=fault)
            if isinstance(fault, (KeyboardInterrupt, SystemExit)):
                raise
        else:
            if not self._is_over():
                _log.error("ASGI callable returned without closing the WebSocket.")
            elif result is not None:
                _log.error("ASGI callable should return None, but returned '%s'.", result)
        if self._is_over():
            return
        if connection.opened:
            connection.fail(1011, "internal error")
        else:
            self._refuse(500, [], b"Internal Server Error")

    def _is_over(self) -> bool:
        """True when nothing can be sent any more."""
        return self._connection.closing or self._transport.is_closing()

    async def receive(self) -> dict[str, Any]:
        """ASGI: the next event."""
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        return await self._connection.inbox.receive()

    async def send(self, message: Any) -> None:
        """ASGI: waits while the write buffer is above high water.

        Raises ClientDisconnected (an OSError) when the client is gone, RuntimeError for an event out of place.
        """
        kind = message["type"]
        connection = self._connection
        write_buffer = connection.write_buffer
        if write_buffer.above_high_water:
            await write_buffer.writable()
        if self._app_closed:
            raise RuntimeError(f"Unexpected ASGI message '{kind}', after sending 'websocket.close'.")
        if not connection.opened:
            self._answer(kind, message)
        elif kind == "websocket.send":
            if self._is_over():
                raise ClientDisconnected()  # ends an application that sends in a loop
            data = message.get("bytes")
            if data is None:
                write_buffer.send(TEXT, message["text"].encode())
            else:
                write_buffer.send(BINARY, data)
        elif kind == "websocket.close":
            self._app_closed = True
            connection.close(message.get("code", 1000), message.get("reason") or "")
        else:
            raise RuntimeError(f"Expected ASGI message 'websocket.send' or 'websocket.close', but got '{kind}'.")

    def _answer(self, kind: str, message: Any) -> None:
        if self._is_over():
            raise ClientDisconnected()
        if self._response is not None:
            if kind != "websocket.http.response.body":
                raise RuntimeError(f"Expected ASGI message 'websocket.http.response.body', but got '{kind}'.")
            self._respond(message)
        elif kind == "websocket.accept":
            self._open(message)
        elif kind == "websocket.close":
            self._app_closed = True
            self._refuse(403, [], b"")
        elif kind == "websocket.http.response.start":
            if not 200 <= message["status"] < 600:
                raise RuntimeError(f"Invalid HTTP status code '{message['status']}' in response.")
            self._response = (message["status"], list(message.get("headers", [])), bytearray())
        else:
            raise RuntimeError(
                "Expected ASGI message 'websocket.accept', 'websocket.close' "
                f"or 'websocket.http.response.start' but got '{kind}'."
            )

    def _open(self, message: Any) -> None:
        connection = self._connection
        headers = [*self._server_state.default_headers, *message.get("headers", [])]
        response = handshake.switching_protocols(self._accept, message.get("subprotocol"), headers)
        incoming = Incoming(connection)
        fail, grown = connection.violation, connection.read_buffer.grown
        max_bytes = connection.max_message_bytes + OVERSIZE_BYTES
        parser = connection.open(response, lambda: new_parser(incoming, fail, max_bytes, grown))
        self._log_answer("[accepted]")
        early, self._early = self._early, None
        if early:
            feed(parser, bytes(early))
        connection.resume(Pause.EARLY)

    def _respond(self, message: Any) -> None:
        assert self._response is not None
        status, headers, body = self._response
        body += message.get("body", b"")
        if not message.get("more_body", False):
            self._app_closed = True
            self._refuse(status, headers, bytes(body))

    def _refuse(self, status: int, headers: handshake.Headers, body: bytes) -> None:
        self._log_answer(str(status))
        self._early = None
        self._connection.refuse(handshake.response(status, headers, body))

    def _log_answer(self, answer: str) -> None:
        if _log.isEnabledFor(logging.INFO) and self._scope is not None:
            scope = cast(Any, self._scope)
            _log.info('%s - "WebSocket %s" %s', get_client_addr(scope), get_path_with_query_string(scope), answer)

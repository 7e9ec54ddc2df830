"""A real uvicorn server in a thread, with an application of the test's own."""

import threading
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from relay.transport.http_protocol import RelayHTTPProtocol
from relay.transport.listener import listening_sockets
from relay.transport.picows_protocol import PicowsProtocol

Application = Callable[[Any, Any, Any], Awaitable[None]]
LIMIT_SECONDS = 10


class Serving:
    """A server on a free port of the loopback; `with` starts and stops it."""

    attached = False

    def __init__(self, app: Application, host: str = "127.0.0.1", **options: Any) -> None:
        self._sockets = listening_sockets(host, 0)
        self.port: int = self._sockets[0].getsockname()[1]
        settings: dict[str, Any] = {
            **{"ws": PicowsProtocol, "http": RelayHTTPProtocol, "loop": "uvloop", "lifespan": "off"},
            **{"log_config": None, "timeout_graceful_shutdown": LIMIT_SECONDS, **options},
        }
        started = threading.Event()

        async def tell(_: uvicorn.Server = None) -> None:  # type: ignore[assignment]
            started.set()

        self._server = uvicorn.Server(uvicorn.Config(app, callback_notify=tell, timeout_notify=0, **settings))
        self._thread = threading.Thread(target=self._server.run, args=(self._sockets,), daemon=True)
        self._started = started

    @property
    def connections(self) -> int:
        """How many uvicorn counts, HTTP and WebSocket."""
        return len(self._server.server_state.connections)

    def begin_stop(self) -> None:
        self._server.should_exit = True

    def __enter__(self) -> "Serving":
        self._thread.start()
        assert self._started.wait(LIMIT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.begin_stop()
        self._thread.join(LIMIT_SECONDS * 2)
        assert not self._thread.is_alive(), "the server did not stop"

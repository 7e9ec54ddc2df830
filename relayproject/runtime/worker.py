"""One relay worker: a process with its own event loop, its own listening socket, and a heartbeat.

`python -m relayproject.runtime.worker`, started by the supervisor. SO_REUSEPORT lets every worker listen by
itself: on one shared socket a single process would take nearly all connections.
"""

import asyncio
import contextlib
import gc
import os
import socket
import sys
from importlib.util import find_spec

import uvicorn

from relayproject.runtime.heartbeat import Heartbeat

RECEIVE_BUFFER_BYTES = 65_536  # bounds what one callback may deliver: 172 frames instead of 14,246
BACKLOG = 2_048


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket of this process alone; raises OSError. Accepted connections inherit its receive buffer."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    listener.bind(address)
    listener.setblocking(False)
    return listener


class Server(uvicorn.Server):
    """uvicorn's server, which tells the supervisor when it accepts connections and that its loop turns."""

    heartbeat: Heartbeat | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        beating = asyncio.create_task(self.heartbeat.run()) if self.heartbeat else None
        self._beating = beating  # a task without a reference may be collected
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is imported stays: no full collection looks at it again
        if self.heartbeat is not None and not self.should_exit:
            self.heartbeat.ready()


def configuration() -> uvicorn.Config:
    """How uvicorn serves the project, from the settings."""
    from relayproject import settings

    fast = find_spec("relay.transport.picows_protocol") is not None
    return uvicorn.Config(
        "relayproject.asgi:application",
        loop="uvloop",
        ws="relay.transport.picows_protocol:PicowsProtocol" if fast else "websockets-sansio",
        ws_max_size=settings.RELAY_MAX_MESSAGE_LENGTH,
        ws_ping_interval=settings.RELAY_PING_SECONDS,
        ws_per_message_deflate=False,
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        proxy_headers=bool(settings.RELAY_TRUSTED_PROXIES),
        forwarded_allow_ips=list(settings.RELAY_TRUSTED_PROXIES),
        timeout_graceful_shutdown=max(1, round(settings.RELAY_DRAIN_SECONDS)),
    )


def main() -> None:
    from relayproject import settings

    server = Server(configuration())
    if "RELAY_HEARTBEAT_FD" in os.environ:
        server.heartbeat = Heartbeat(int(os.environ["RELAY_HEARTBEAT_FD"]))
    try:
        listener = listening_socket(settings.RELAY_HOST, settings.RELAY_PORT)
    except OSError as error:
        sys.exit(f"relay worker: {settings.RELAY_HOST}:{settings.RELAY_PORT}: {error.strerror}")
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


if __name__ == "__main__":
    main()

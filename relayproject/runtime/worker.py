"""One relay worker: a process with its own event loop, the listening sockets of its place (web.py) and a heartbeat.

`python -m relayproject.runtime.worker`, started by the supervisor.
"""

import asyncio
import contextlib
import gc
import os
import socket
from ipaddress import ip_network

import uvicorn

from relay.transport.http_protocol import RelayHTTPProtocol, unfinished_requests
from relay.transport.picows_protocol import PicowsProtocol
from relayproject import descriptors
from relayproject.runtime import metrics_folder
from relayproject.runtime.child import RETIRE
from relayproject.runtime.heartbeat import Heartbeat

BACKLOG = 2_048
COLLECT_AFTER = (700, 10, 140)
"""Thresholds of the garbage collector. A full collection is one step of the loop: 0.25 s with 80,000 subscriptions of
two filters, and Python's own thresholds made ten of them while these were opened; so they come after a million
allocations. The young generation keeps Python's own threshold: with 5,000 a worker answered fewer queries of 50 and
more events (means of three and four runs: hashtag 3,230 a second, not 3,710; mentions 7,880, not 9,680)."""
REQUEST_SECONDS = 0.5
CLOSE_SECONDS = 1  # for the closing handshakes; the relay's own drain comes before


class Server(uvicorn.Server):
    """uvicorn's server with a heartbeat to the supervisor."""

    heartbeat: Heartbeat | None = None
    is_replaced = False
    """Another process accepts from the same sockets."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the heartbeat, then serve, then report ready."""
        beating = asyncio.create_task(self.heartbeat.run()) if self.heartbeat else None
        self._beating = beating  # a task without a reference may be collected
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # full collections skip the imported modules from now on
        gc.set_threshold(*COLLECT_AFTER)
        asyncio.get_running_loop().add_signal_handler(RETIRE, self.retire)
        if self.heartbeat is not None and not self.should_exit:
            self.heartbeat.ready()

    def retire(self) -> None:
        """Accept no more: another process does. Clients are served until SIGTERM."""
        self.is_replaced = True
        self._stop_listening()

    def _stop_listening(self) -> None:
        for listener in self.servers:
            listener.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Have /ready fail for as long as set, let the relay drain, then close what is left.

        uvicorn closes them first, which would lose the OK of an event in the writer's queue. Where a balancer watches
        /ready it has its answer until the drain is over: some cut all connections of an instance that does not answer.
        """
        from relay.services import process
        from relayproject import settings

        is_watched = settings.RELAY_LEAVE_SECONDS > 0 and not self.is_replaced
        if is_watched:
            process.leave()
            await asyncio.sleep(settings.RELAY_LEAVE_SECONDS)
            process.leave(refuse=True)
        else:
            self._stop_listening()
        await self._finish_requests()
        await process.drain()
        self._stop_listening()
        await process.stop(is_replaced=self.is_replaced)
        await super().shutdown(sockets)

    async def _finish_requests(self) -> None:
        """Wait for the requests of connections that were accepted just now: they are answered before the drain."""
        end = asyncio.get_running_loop().time() + REQUEST_SECONDS
        while unfinished_requests(self.server_state) and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def configuration() -> uvicorn.Config:
    """uvicorn's configuration, from the settings."""
    from relayproject import settings
    from replication.wire import LARGE_BODIES

    RelayHTTPProtocol.LARGE_BODIES = LARGE_BODIES
    RelayHTTPProtocol.REQUEST_SECONDS = settings.RELAY_HANDSHAKE_SECONDS
    RelayHTTPProtocol.CONNECTIONS_PER_NETWORK = settings.RELAY_MAX_CONNECTIONS_PER_IP
    # A proxy has its clients' connections; they are counted by their forwarded address once it is known.
    proxies = [ip_network(text, strict=False) for text in settings.RELAY_TRUSTED_PROXIES]
    exempt = [ip_network(text, strict=False) for text in settings.RELAY_IP_LIMIT_EXEMPT]
    RelayHTTPProtocol.EXEMPT = (*exempt, *proxies)
    return uvicorn.Config(
        "relayproject.asgi:application",
        loop="uvloop",
        http=RelayHTTPProtocol,
        ws=PicowsProtocol if settings.RELAY_TRANSPORT == "picows" else "websockets-sansio",
        ws_per_message_deflate=settings.RELAY_TRANSPORT == "websockets",
        ws_max_size=settings.RELAY_MAX_MESSAGE_LENGTH,
        ws_ping_interval=settings.RELAY_PING_SECONDS,
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=[str(network) for network in proxies],  # uvicorn takes 10.0.0.1/8 for the name of a host
        limit_concurrency=descriptors.connections(settings, descriptors.raise_limit()),
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )


def main() -> None:
    """Serve until SIGTERM."""
    from relayproject import settings

    metrics_folder.count_as(f"worker-{settings.RELAY_WORKER}")
    server = Server(configuration())
    if "RELAY_HEARTBEAT_FD" in os.environ:
        server.heartbeat = Heartbeat(int(os.environ["RELAY_HEARTBEAT_FD"]))
    listeners = [socket.socket(fileno=int(number)) for number in os.environ["RELAY_LISTENERS"].split(",")]
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=listeners)


if __name__ == "__main__":
    main()

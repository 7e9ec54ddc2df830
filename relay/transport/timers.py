"""The timers that all connections of a worker share: ping interval and deadline of the closing handshake."""

import asyncio
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from relay.transport.counters import counters
from relay.transport.deadlines import Deadlines

if TYPE_CHECKING:
    from uvicorn.server import ServerState


class Pinged(Protocol):
    """What is pinged: a connection."""

    def __hash__(self) -> int: ...

    def ping(self) -> None:
        """Send a ping, or end the connection if too many were not answered."""


class ConnectionTimers:
    """The timers of all connections of a worker; times in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ping_seconds: float | None, close_seconds: float) -> None:
        self.pings: Deadlines[Pinged] | None = None
        if ping_seconds:
            self.pings = Deadlines(loop, ping_seconds, _ping)
        self.closings: Deadlines[asyncio.Transport] = Deadlines(loop, close_seconds, _abort_overdue)


_timers: "WeakKeyDictionary[ServerState, ConnectionTimers]" = WeakKeyDictionary()


def timers_of(
    server: "ServerState", loop: asyncio.AbstractEventLoop, ping_seconds: float | None, close_seconds: float
) -> ConnectionTimers:
    """The timers of a running server, made on the first call. `ping_seconds`: None or 0 for no pings."""
    timers = _timers.get(server)
    if timers is None:
        timers = _timers[server] = ConnectionTimers(loop, ping_seconds, close_seconds)
    return timers


def _ping(connection: Pinged) -> None:
    connection.ping()


def _abort_overdue(transport: asyncio.Transport) -> None:
    counters.aborted_close_deadline += 1
    transport.abort()

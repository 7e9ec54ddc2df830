"""Two relay processes that a test pauses and restarts, and the Valkey that they share."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from websockets.exceptions import WebSocketException

from tests.acceptance.client import Client
from tests.acceptance.faults.outages import OwnServers, Way
from tests.acceptance.faults.workers import is_served
from tests.acceptance.relay_process import RelayProcess, wait_for


class Place:
    """One worker of a relay."""

    def __init__(self, relay: RelayProcess, pid: int) -> None:
        self.relay = relay
        self.pid = pid
        self.is_paused = False

    def pause(self) -> None:
        """Stop the process; returns when it stands still."""
        os.kill(self.pid, signal.SIGSTOP)
        status = Path(f"/proc/{self.pid}/stat")
        wait_for(lambda: status.read_text().rpartition(")")[2].split()[0] == "T", "a stopped worker")
        self.is_paused = True

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        self.is_paused = False

    def restart(self) -> None:
        """Kill the process, and wait for the one that its supervisor starts in its place."""
        before = set(self.relay.workers())
        os.kill(self.pid, signal.SIGKILL)
        wait_for(lambda: set(self.relay.workers()) - before, "a new worker")
        (self.pid,) = set(self.relay.workers()) - before


@asynccontextmanager
async def patient(place: Place) -> AsyncIterator[Client]:
    """A client of a worker that may not listen yet. The kernel spreads connections over the workers."""
    async with AsyncExitStack() as stack:
        client = None
        async with asyncio.timeout(20):
            while client is None:
                try:
                    found = await stack.enter_async_context(Client(place.relay.ws_url))
                    client = found if is_served(place.relay.port, [place.pid], found) else None
                except (OSError, WebSocketException):
                    await asyncio.sleep(0.1)
        yield client


class Cache:
    """Valkey: the shared cache and the bus."""

    def __init__(self, servers: OwnServers) -> None:
        self._servers = servers
        self._away: Way | None = None
        self._kept: dict[Any, Any] = {}

    def cut(self, way: Way) -> None:
        """Take it away, killed or stopped."""
        if self._away is None:
            self._servers.take_away("valkey", way)
            self._away = way

    def mend(self) -> None:
        """Give it back. Only in the main thread: the kernel ends the server with the thread that has started it."""
        if self._away is not None:
            way, self._away = self._away, None
            self._servers.give_back("valkey", way)

    def keep(self) -> None:
        """Note what it holds."""
        if self._away is None:
            with self._client() as client:
                self._kept = {key: client.dump(key) for key in client.keys("*")}

    def put_back(self) -> None:
        """Have it hold what was noted, and nothing else."""
        if self._away is None:
            with self._client() as client:
                client.flushall()
                for key, value in self._kept.items():
                    if value is not None:
                        client.restore(key, 60_000, value, replace=True)

    def _client(self) -> Redis:
        return Redis.from_url(self._servers.valkey.url)

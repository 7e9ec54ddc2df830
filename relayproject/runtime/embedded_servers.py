"""The embedded servers of one start of `serve`: PostgreSQL and Valkey, unless the environment names others."""

import asyncio
import time
from collections.abc import Mapping

from relayproject.runtime.child import Backoff, describe_exit
from relayproject.runtime.datafolder import DataFolder
from relayproject.runtime.errors import StartupError
from relayproject.runtime.logfiles import keep_bounded
from relayproject.runtime.postgres import EmbeddedPostgres
from relayproject.runtime.processes import Inherited, end_async, until_answers, wait_for_exit
from relayproject.runtime.say import report
from relayproject.runtime.valkey import EmbeddedValkey

Server = EmbeddedPostgres | EmbeddedValkey

MOST_START_SECONDS = 600.0
"""PostgreSQL replays up to 2 GB of its log after a crash. One that is ended meanwhile begins anew."""
TELL_SECONDS = 10.0


class EmbeddedServers:
    """Embedded PostgreSQL and Valkey on a locked data folder. `addresses`: DATABASE_URL, REDIS_URL -> URL."""

    def __init__(self, folder: DataFolder, *, postgres: bool, valkey: bool, connections: int = 0) -> None:
        """`connections`: to PostgreSQL, that the instance and operators' own clients need."""
        self.addresses: dict[str, str] = {}
        self._servers: dict[str, Server] = {}
        if postgres:
            sockets, log = folder.sockets(), folder.path / "postgres.log"
            server = EmbeddedPostgres(folder.path / "postgres", sockets, log, connections=connections)
            self._servers["PostgreSQL"] = server
            self.addresses["DATABASE_URL"] = server.url
        if valkey:
            valkey_server = EmbeddedValkey(folder.sockets(), folder.path / "valkey.log")
            self._servers["Valkey"] = valkey_server
            self.addresses["REDIS_URL"] = valkey_server.url

    def start(self) -> None:
        """Start each and wait until it answers; raises StartupError."""
        for server in self._servers.values():
            server.start()

    async def start_soon(self) -> None:
        """As `start()`, without blocking the event loop, and with time for a recovery; raises StartupError."""
        loop = asyncio.get_running_loop()
        for name, server in self._servers.items():
            server.spawn()
            telling = loop.call_later(TELL_SECONDS, report, f"{name} does not answer yet (see {server.log})")
            try:
                await until_answers(server, name, MOST_START_SECONDS)
            finally:
                telling.cancel()

    def inherit(self, pids: Mapping[str, int]) -> None:
        """Go on with the servers of an earlier program of this process, by name; those that did not run are started."""
        for name, server in self._servers.items():
            server.process = Inherited(pids[name]) if name in pids else None

    def pids(self) -> dict[str, int]:
        """The servers that run, by name."""
        found = {name: server.process for name, server in self._servers.items()}
        return {name: process.pid for name, process in found.items() if process and process.poll() is None}

    def stop(self) -> None:
        """Stop in reverse order."""
        for server in reversed(self._servers.values()):
            server.stop()

    async def keep(self) -> None:
        """Restart servers that die, and bound their logs, until cancelled."""
        await asyncio.gather(
            keep_bounded([server.log for server in self._servers.values()]),
            *(self._keep(name, server) for name, server in self._servers.items()),
        )

    async def stop_soon(self, *, hasty: bool) -> None:
        """As `stop()`, without blocking the event loop. `hasty`: with shorter timeouts."""
        for server in reversed(self._servers.values()):
            if server.process is not None:
                await end_async(server.process, server.stop_steps(hasty=hasty))

    async def _keep(self, name: str, server: Server) -> None:
        backoff = Backoff()
        while True:
            started = time.monotonic()
            if server.process is not None:
                what = describe_exit(await wait_for_exit(server.process))
                delay = backoff.after(time.monotonic() - started)
                report(f"{name} {what}; starting it again in {delay:g} s")
                await asyncio.sleep(delay)
            try:
                server.spawn()
            except (StartupError, OSError) as error:
                server.process = None
                report(f"{name} did not start: {error}")
                await asyncio.sleep(backoff.after(0.0))

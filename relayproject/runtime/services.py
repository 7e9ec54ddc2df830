"""The embedded servers of one start: those that the environment does not name are run here and kept running."""

import asyncio
import time

from relayproject.runtime.child import Pauses, how_it_ended, say
from relayproject.runtime.datafolder import DataFolder
from relayproject.runtime.postgres import EmbeddedPostgres
from relayproject.runtime.processes import end_soon, ended
from relayproject.runtime.refusal import Refusal
from relayproject.runtime.valkey import EmbeddedValkey

Server = EmbeddedPostgres | EmbeddedValkey


class Services:
    """Embedded PostgreSQL and Valkey on a data folder that is taken. `addresses` maps variable to URL."""

    def __init__(self, folder: DataFolder, *, postgres: bool, valkey: bool) -> None:
        self.addresses: dict[str, str] = {}
        self._servers: dict[str, Server] = {}
        if postgres:
            server = EmbeddedPostgres(folder.path / "postgres", folder.sockets(), folder.path / "postgres.log")
            self._servers["PostgreSQL"] = server
            self.addresses["DATABASE_URL"] = server.url
        if valkey:
            valkey_server = EmbeddedValkey(folder.sockets(), folder.path / "valkey.log")
            self._servers["Valkey"] = valkey_server
            self.addresses["REDIS_URL"] = valkey_server.url

    def start(self) -> None:
        """Start all, one after the other, and wait until each answers; raises Refusal."""
        for server in self._servers.values():
            server.start()

    def stop(self) -> None:
        """Stop all, the last started first."""
        for server in reversed(self._servers.values()):
            server.stop()

    async def keep(self) -> None:
        """Start a server again when it dies, until cancelled."""
        await asyncio.gather(*(self._keep(name, server) for name, server in self._servers.items()))

    async def stop_soon(self, *, hasty: bool) -> None:
        """As `stop()`, in the event loop."""
        for server in reversed(self._servers.values()):
            if server.process is not None:
                await end_soon(server.process, server.stop_steps(hasty=hasty))

    async def _keep(self, name: str, server: Server) -> None:
        pauses = Pauses()
        while True:
            born = time.monotonic()
            if server.process is not None:
                what = how_it_ended(await ended(server.process))
                pause = pauses.after(time.monotonic() - born)
                say(f"{name} {what}; starting it again in {pause:g} s")
                await asyncio.sleep(pause)
            try:
                server.spawn()
            except (Refusal, OSError) as error:
                server.process = None
                say(f"{name} did not start: {error}")
                await asyncio.sleep(pauses.after(0.0))

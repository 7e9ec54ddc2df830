"""The worker's side of the heartbeat: one byte a second from its event loop through a pipe to the supervisor.

A blocked loop sends none, and the supervisor restarts the worker: the kernel would go on assigning connections to it.
"""

import asyncio
import contextlib
import os

BEAT = b"."
READY = b"R"
INTERVAL_SECONDS = 1.0


class Heartbeat:
    """Writes to the inherited `descriptor` of the pipe; a full or closed pipe is ignored."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        os.set_inheritable(descriptor, False)

    def ready(self) -> None:
        """Report that connections are accepted."""
        self._send(READY)

    async def run(self) -> None:
        """Send a beat every second until cancelled."""
        while True:
            self._send(BEAT)
            await asyncio.sleep(INTERVAL_SECONDS)

    def _send(self, byte: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._descriptor, byte)

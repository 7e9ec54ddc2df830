"""A process's side of the heartbeat: one byte a second through a pipe to the supervisor, which restarts a silent one.

A relay worker beats from its event loop: a blocked loop sends none, while the kernel would go on assigning connections
to it. The processes of the job queue beat from a thread as long as their main loop goes on.
"""

import asyncio
import contextlib
import os
import threading
import time

VARIABLE = "RELAY_HEARTBEAT_FD"
BEAT = b"."
READY = b"R"
INTERVAL_SECONDS = 1.0
STALL_SECONDS = 120.0
"""How long the main loop of a process of the job queue may stand still. It does while it tries to reach a broker that
is gone, with pauses of 30 s at most."""


class Pipe:
    """The inherited `descriptor` of the pipe; a full or closed pipe is ignored."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        os.set_inheritable(descriptor, False)

    def send(self, byte: bytes) -> None:
        """Send one byte, BEAT or READY."""
        with contextlib.suppress(OSError):
            os.write(self._descriptor, byte)


class Heartbeat:
    """The heartbeat of an event loop."""

    def __init__(self, descriptor: int) -> None:
        self._pipe = Pipe(descriptor)

    def ready(self) -> None:
        """Report that connections are accepted."""
        self._pipe.send(READY)

    async def run(self) -> None:
        """Send a beat every second until cancelled."""
        while True:
            self._pipe.send(BEAT)
            await asyncio.sleep(INTERVAL_SECONDS)


class ThreadHeartbeat:
    """The heartbeat of a process with a loop that is not asyncio's: call `turn` at each turn of that loop.

    Beats stop when no turn came for `stall_seconds`. Without a supervisor nothing is sent.
    """

    def __init__(self, stall_seconds: float = STALL_SECONDS) -> None:
        self._stall_seconds = stall_seconds
        self._turned = time.monotonic()
        descriptor = os.environ.get(VARIABLE)
        if descriptor:
            threading.Thread(target=self._run, args=(Pipe(int(descriptor)),), name="heartbeat", daemon=True).start()

    def turn(self) -> None:
        """The main loop goes on."""
        self._turned = time.monotonic()

    def _run(self, pipe: Pipe) -> None:
        while True:
            if time.monotonic() - self._turned < self._stall_seconds:
                pipe.send(BEAT)
            time.sleep(INTERVAL_SECONDS)

"""The request to stop `serve`: signals make it, and it interrupts a start that waits for something."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from relayproject.runtime.say import report

SAME_REQUEST_SECONDS = 1.0  # signals that come together are one request to stop

Result = TypeVar("Result")


class Stopped(Exception):
    """SIGINT, SIGTERM or SIGHUP came during the start."""


class StopRequest:
    """`made`: the processes are to end in order. `force`: they are to be killed. Needs a running loop."""

    def __init__(self) -> None:
        self.made = asyncio.Event()
        self.force = asyncio.Event()
        self._made_at = 0.0

    def install(self) -> None:
        """Have SIGINT, SIGTERM and SIGHUP make it; a SIGHUP that is ignored (nohup) stays so."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN or number is not signal.SIGHUP:
                loop.add_signal_handler(number, self._on_signal)

    async def unless_made(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of `work`; raises Stopped as soon as the request is made."""
        task = asyncio.create_task(work)
        made = asyncio.create_task(self.made.wait())
        either: set[asyncio.Task[Any]] = {task, made}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        made.cancel()
        if task.done():
            return task.result()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        raise Stopped

    def _on_signal(self) -> None:
        """The first signal stops. Further ones within a second are the same request; a later one kills.

        `make` forwards the signal that a terminal or systemd has sent to the whole process group already.
        """
        now = time.monotonic()
        if not self.made.is_set():
            report("stopping")
            self._made_at = now
            self.made.set()
        elif now - self._made_at > SAME_REQUEST_SECONDS:
            self.force.set()

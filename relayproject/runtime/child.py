"""One supervised process, restarted with backoff when it dies or hangs (watchdog.py)."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from relayproject.runtime.handover import LeftChild
from relayproject.runtime.processes import Inherited, Process, end_async, spawn, wait_for_exit
from relayproject.runtime.say import report
from relayproject.runtime.watchdog import Watchdog

PROJECT = Path(__file__).resolve().parent.parent.parent
BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 3.0)
STABLE_SECONDS = 30.0  # a process that ran this long resets the backoff
FIRST_BEAT_SECONDS = 60.0  # imports on a busy machine
MAX_FAILED_STARTS = 3
RETIRE = signal.SIGUSR1
"""Has a relay worker close its listening sockets and serve its clients until SIGTERM (worker.py)."""


def describe_exit(code: int) -> str:
    """An exit code in words; a negative one is a signal's number."""
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


@dataclass(slots=True)
class Backoff:
    """The delay before each restart, which grows while the process keeps dying early."""

    failures: int = 0

    def after(self, uptime_seconds: float) -> float:
        """Seconds to wait after a run of `uptime_seconds`."""
        if uptime_seconds >= STABLE_SECONDS:
            self.failures = 0
        delay = BACKOFF_SECONDS[min(self.failures, len(BACKOFF_SECONDS) - 1)]
        self.failures += 1
        return delay


@dataclass(slots=True)
class Child:
    """A Python module run as a process.

    `heartbeat_seconds`: timeout of the heartbeat. `ready` is set while it accepts connections; `failed_starts` counts
    the last runs that ended before that, `given_up` is set after MAX_FAILED_STARTS of them, though it is tried again,
    and `on_end` is called after each run that ends before `stop`.
    `descriptors` are inherited under the same numbers. `pipe`: the reading end of its heartbeat.
    """

    name: str
    module: str
    environment: Mapping[str, str]
    heartbeat_seconds: float
    process: Process | None = field(default=None, init=False)
    ready: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    failed_starts: int = field(default=0, init=False)
    given_up: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    on_end: Callable[["Child"], None] | None = None
    descriptors: tuple[int, ...] = ()
    pipe: int = field(default=-1, init=False)
    _stopping: bool = field(default=False, init=False)

    def inherit(self, pid: int, pipe: int) -> None:
        """Go on with a process that runs and is ready; before `keep`."""
        self.process = Inherited(pid)
        self.pipe = pipe
        self.ready.set()

    def left(self) -> LeftChild | None:
        """What to leave to a later program (handover.py); None if it does not run."""
        if self.process is None or self.process.poll() is not None:
            return None
        return LeftChild(self.name, self.process.pid, self.pipe)

    async def keep(self) -> None:
        """Run and restart it until `stop()`; a cancellation leaves the process running."""
        backoff = Backoff()
        while not self._stopping:
            started = time.monotonic()
            try:
                end = describe_exit(await self._run_once())
            except OSError as error:  # no process or descriptor to be had: the machine is full, and may have room again
                end = f"did not start ({error})"
            if self._stopping:
                return
            self._count_start()
            if self.on_end is not None:
                self.on_end(self)
            delay = backoff.after(time.monotonic() - started)
            report(f"{self.name} {end}; starting it again in {delay:g} s")
            await asyncio.sleep(delay)

    def _count_start(self) -> None:
        self.failed_starts = 0 if self.ready.is_set() else self.failed_starts + 1
        if self.failed_starts >= MAX_FAILED_STARTS:
            self.given_up.set()

    def retire(self) -> None:
        """Have it accept no more connections, since another process has its sockets; `stop` it later."""
        self._stopping = True
        if self.process is not None and self.ready.is_set():
            self.process.send_signal(RETIRE)

    async def stop(self, seconds: float, force: asyncio.Event) -> None:
        """SIGTERM; SIGKILL after `seconds`, or as soon as `force` is set."""
        self._stopping = True
        process = self.process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        exited = asyncio.create_task(wait_for_exit(process))
        forced = asyncio.create_task(force.wait())
        await asyncio.wait({exited, forced}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        forced.cancel()
        if not exited.done():
            report(f"{self.name} does not stop in time; killing it")
            await end_async(process, ((signal.SIGKILL, 2.0),))
        exited.cancel()

    async def _run_once(self) -> int:
        """Start it, if it was not inherited, and wait for its exit code."""
        if self.process is not None and self.pipe >= 0:
            return await self._run_with_heartbeat(self.process)
        self.ready.clear()
        environment = dict(self.environment)
        command = [sys.executable, "-m", self.module]
        reader, writer = os.pipe()
        environment["RELAY_HEARTBEAT_FD"] = str(writer)
        try:
            self.process = spawn(command, environment=environment, folder=PROJECT, pass_fds=[writer, *self.descriptors])
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        self.pipe = reader
        return await self._run_with_heartbeat(self.process)

    async def _run_with_heartbeat(self, process: Process) -> int:
        loop, reader = asyncio.get_running_loop(), self.pipe
        watchdog = Watchdog(self.heartbeat_seconds, FIRST_BEAT_SECONDS, time.monotonic())
        loop.add_reader(reader, self._read_heartbeat, reader, watchdog)
        watching = asyncio.create_task(self._watch(process, watchdog))
        try:
            return await wait_for_exit(process)
        finally:
            watching.cancel()
            loop.remove_reader(reader)
            os.close(reader)
            self.pipe = -1

    def _read_heartbeat(self, reader: int, watchdog: Watchdog) -> None:
        data = os.read(reader, 4096)
        if not data:
            asyncio.get_running_loop().remove_reader(reader)
            return
        watchdog.beat(time.monotonic())
        if b"R" in data:
            self.ready.set()

    async def _watch(self, process: Process, watchdog: Watchdog) -> None:
        while True:
            await asyncio.sleep(watchdog.interval_seconds)
            if watchdog.is_overdue(time.monotonic()) and not self._stopping:
                report(f"{self.name} hangs: no heartbeat for {watchdog.limit_seconds:g} s; killing it")
                process.send_signal(signal.SIGKILL)
                return

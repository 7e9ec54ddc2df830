"""One supervised process: started again when it dies or hangs, later and later when it keeps dying."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from relayproject.runtime.processes import end_soon, ended, spawn

PROJECT = Path(__file__).resolve().parent.parent.parent
PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 3.0)
STEADY_SECONDS = 30.0  # a life this long is no part of a row of deaths
FIRST_BEAT_SECONDS = 60.0  # imports on a busy machine


def say(text: str) -> None:
    """One happening, one line, on standard error."""
    sys.stderr.write(f"serve: {text}\n")
    sys.stderr.flush()


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


@dataclass(slots=True)
class Pauses:
    """The pause before each restart: short after a long life, growing in a row of short ones."""

    deaths: int = 0

    def after(self, life_seconds: float) -> float:
        if life_seconds >= STEADY_SECONDS:
            self.deaths = 0
        pause = PAUSES_SECONDS[min(self.deaths, len(PAUSES_SECONDS) - 1)]
        self.deaths += 1
        return pause


@dataclass(slots=True)
class Child:
    """A Python module run as a process of its own.

    heartbeat_seconds: how long it may be silent, None for one without a heartbeat. `ready` is set when it reports
    that it accepts connections; `deaths_before_ready` counts the lives that never came so far. `descriptors` are
    open in it under their numbers.
    """

    name: str
    module: str
    environment: Mapping[str, str]
    heartbeat_seconds: float | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    ready: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    deaths_before_ready: int = field(default=0, init=False)
    on_death: Callable[["Child"], None] | None = None
    descriptors: tuple[int, ...] = ()
    _last_beat: float = field(default=0.0, init=False)
    _stopping: bool = field(default=False, init=False)

    async def keep(self) -> None:
        """Run it until `stop()`; cancelled, it leaves the process to `stop()`."""
        pauses = Pauses()
        while not self._stopping:
            born = time.monotonic()
            code = await self._live()
            if self._stopping:
                return
            if not self.ready.is_set():
                self.deaths_before_ready += 1
                if self.on_death is not None:
                    self.on_death(self)
            pause = pauses.after(time.monotonic() - born)
            say(f"{self.name} {how_it_ended(code)}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)

    async def stop(self, seconds: float, hasten: asyncio.Event) -> None:
        """SIGTERM, and SIGKILL after `seconds` or as soon as `hasten` is set."""
        self._stopping = True
        process = self.process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        over = asyncio.create_task(ended(process))
        hurry = asyncio.create_task(hasten.wait())
        await asyncio.wait({over, hurry}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not over.done():
            say(f"{self.name} does not stop in time; killing it")
            await end_soon(process, ((signal.SIGKILL, 2.0),))
        over.cancel()

    async def _live(self) -> int:
        """One life, from start to end; returns the exit code."""
        environment = dict(self.environment)
        command = [sys.executable, "-m", self.module]
        if self.heartbeat_seconds is None:
            self.process = spawn(command, environment=environment, folder=PROJECT, pass_fds=self.descriptors)
            return await ended(self.process)
        reader, writer = os.pipe()
        environment["RELAY_HEARTBEAT_FD"] = str(writer)
        try:
            self.process = spawn(command, environment=environment, folder=PROJECT, pass_fds=[writer, *self.descriptors])
        finally:
            os.close(writer)
        return await self._live_by_heartbeat(self.process, reader, self.heartbeat_seconds)

    async def _live_by_heartbeat(self, process: subprocess.Popen[bytes], reader: int, limit: float) -> int:
        loop = asyncio.get_running_loop()
        self._last_beat = time.monotonic() + FIRST_BEAT_SECONDS - limit
        loop.add_reader(reader, self._hear, reader)
        watching = asyncio.create_task(self._watch(process, limit))
        try:
            return await ended(process)
        finally:
            watching.cancel()
            loop.remove_reader(reader)
            os.close(reader)

    def _hear(self, reader: int) -> None:
        data = os.read(reader, 4096)
        if not data:
            asyncio.get_running_loop().remove_reader(reader)
            return
        self._last_beat = time.monotonic()
        if b"R" in data:
            self.ready.set()

    async def _watch(self, process: subprocess.Popen[bytes], limit: float) -> None:
        while True:
            await asyncio.sleep(min(1.0, limit / 4))
            if time.monotonic() - self._last_beat > limit and not self._stopping:
                say(f"{self.name} hangs: no heartbeat for {limit:g} s; killing it")
                process.kill()
                return

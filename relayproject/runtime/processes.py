"""Starts child processes that end with their parent, and finds those that an earlier run left behind.

Every child has its own session, so that Ctrl-C on the terminal reaches only the supervisor.
"""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from relayproject.runtime.errors import StartupError

LAUNCH = Path(__file__).with_name("launch.py")
POLL_SECONDS = 0.02
ANSWER_POLL_SECONDS = 0.01


def bound_command(argv: Sequence[str], *, death_signal: int = signal.SIGKILL, run_as: str = "self") -> list[str]:
    """The command that runs `argv` (program as an absolute path) and gets `death_signal` when this process dies.

    0: none; it lives on.
    """
    return [
        sys.executable, "-I", "-S", str(LAUNCH), str(int(death_signal)), str(os.getpid()), run_as, *argv,
    ]  # fmt: skip


def spawn(
    argv: Sequence[str],
    *,
    output: IO[bytes] | None = None,
    stdout: int | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    pass_fds: Sequence[int] = (),
    death_signal: signal.Signals = signal.SIGKILL,
    run_as: str = "self",
) -> subprocess.Popen[bytes]:
    """Start `argv` as a child in a session of its own; call it from the main thread only.

    The kernel sends `death_signal` when the *thread* that started the child ends. `output` takes stdout and stderr;
    without it both go to this process's stderr, unless `stdout` is given. Raises OSError.
    """
    return subprocess.Popen(
        bound_command(argv, death_signal=death_signal, run_as=run_as),
        stdin=subprocess.DEVNULL,
        stdout=output or (2 if stdout is None else stdout),
        stderr=output,
        env=None if environment is None else dict(environment),
        cwd=folder,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
    )


def living_in(folder: Path, program: str) -> Iterator[int]:
    """Ids of the processes named `program` whose working directory is `folder`."""
    wanted = os.path.realpath(folder)
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            executable = os.path.basename(os.readlink(f"/proc/{entry.name}/exe")).split(" ")[0]
            if executable == program and os.readlink(f"/proc/{entry.name}/cwd") == wanted:
                yield int(entry.name)


def wait_until_gone(folder: Path, program: str, seconds: float) -> bool:
    """Wait at most `seconds` for the processes of `living_in` to end; True when none is left."""
    deadline = time.monotonic() + seconds
    while next(living_in(folder, program), None) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


class Process(Protocol):
    """A child: what of `subprocess.Popen` is used."""

    pid: int

    def poll(self) -> int | None:
        """The exit code, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code; raises subprocess.TimeoutExpired."""

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""


class Inherited:
    """A child that was started before this process executed its program anew (handover.py)."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        if self._code is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if found else None
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code; raises subprocess.TimeoutExpired."""
        if (code := self.poll()) is not None:
            return code
        descriptor = os.pidfd_open(self.pid)
        try:
            select.select([descriptor], [], [], timeout)
        finally:
            os.close(descriptor)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return code

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)


class Server(Protocol):
    """An embedded server; `log` is its log file."""

    log: Path
    process: Process | None

    def answers(self) -> bool:
        """True when it accepts connections."""


def wait_for_answers(server: Server, name: str, seconds: float) -> None:
    """Wait until the server answers; raises StartupError when it exits before or takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not _has_answered(server, name, seconds, deadline):
        time.sleep(ANSWER_POLL_SECONDS)


async def until_answers(server: Server, name: str, seconds: float) -> None:
    """As `wait_for_answers`, without blocking the event loop."""
    deadline = time.monotonic() + seconds
    while not _has_answered(server, name, seconds, deadline):  # noqa: ASYNC110  of a server nothing tells it
        await asyncio.sleep(ANSWER_POLL_SECONDS)


def _has_answered(server: Server, name: str, seconds: float, deadline: float) -> bool:
    if server.answers():
        return True
    if server.process is None or server.process.poll() is not None:
        raise StartupError(f"{name} did not start: {last_line(server.log)} (see {server.log}).")
    if time.monotonic() > deadline:
        raise StartupError(f"{name} does not answer after {seconds:g} seconds (see {server.log}).")
    return False


async def wait_for_exit(process: Process) -> int:
    """Wait in the event loop until the process exits; returns its exit code, negative for a signal."""
    loop = asyncio.get_running_loop()
    exited = asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    loop.add_reader(descriptor, exited.set)
    try:
        await exited.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return process.wait()


async def end_async(process: Process, steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """As `end()`, without blocking the event loop."""
    for number, seconds in steps:
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wait_for_exit(process), seconds)


def end(process: Process, steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn and wait its seconds, until the process exits."""
    for number, seconds in steps:
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def last_line(path: Path) -> str:
    """The last line of a server's log that reports a failure, else its last line, else "its log is empty"."""
    with contextlib.suppress(OSError):
        lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
        failures = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "FAIL", "# "))]
        if lines:
            return (failures or lines)[-1]
    return "its log is empty"

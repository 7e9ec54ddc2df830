"""Starts programs that end with their parent, and finds those that an earlier run left behind.

Every child has its own session, so that Ctrl-C on the terminal reaches the supervisor alone.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from relayproject.runtime.refusal import Refusal

LAUNCH = Path(__file__).with_name("launch.py")
POLL_SECONDS = 0.02
ANSWER_POLL_SECONDS = 0.01


def bound_command(
    argv: Sequence[str], *, death_signal: signal.Signals = signal.SIGKILL, identity: str = "self"
) -> list[str]:
    """The command that runs `argv` (an absolute program first) and gets `death_signal` when this process dies."""
    return [
        sys.executable, "-I", "-S", str(LAUNCH), str(int(death_signal)), str(os.getpid()), identity, *argv,
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
    identity: str = "self",
) -> subprocess.Popen[bytes]:
    """Start `argv` as a child of its own session; call it from the main thread only.

    The kernel sends `death_signal` when the *thread* that started the child ends. `output` takes both streams;
    without it both go to this process's standard error, unless `stdout` names another place for the one.
    """
    return subprocess.Popen(
        bound_command(argv, death_signal=death_signal, identity=identity),
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
    """True when no such process is left within `seconds`."""
    deadline = time.monotonic() + seconds
    while next(living_in(folder, program), None) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


class Server(Protocol):
    """A server that was started here: `answers()` says whether it is ready, `log` takes what it writes."""

    log: Path
    process: subprocess.Popen[bytes] | None

    def answers(self) -> bool: ...


def wait_for_answers(server: Server, name: str, seconds: float) -> None:
    """Wait until the server answers; raises Refusal when it ends before, or takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not server.answers():
        if server.process is None or server.process.poll() is not None:
            raise Refusal(f"{name} did not start: {last_line(server.log)} (see {server.log}).")
        if time.monotonic() > deadline:
            raise Refusal(f"{name} does not answer after {seconds:g} seconds (see {server.log}).")
        time.sleep(ANSWER_POLL_SECONDS)


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait in the event loop until the process has ended; returns its exit code, negative for a signal."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    loop.add_reader(descriptor, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return process.wait()


async def end_soon(process: subprocess.Popen[bytes], steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """As `end()`, without holding up the event loop."""
    for number, seconds in steps:
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended(process), seconds)


def end(process: subprocess.Popen[bytes], steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn, and wait its seconds, until the process has ended."""
    for number, seconds in steps:
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def last_line(path: Path) -> str:
    """The last line of a log that tells a failure, else its last line, or a word that there is none."""
    with contextlib.suppress(OSError):
        lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
        failures = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "FAIL", "# "))]
        if lines:
            return (failures or lines)[-1]
    return "it said nothing"

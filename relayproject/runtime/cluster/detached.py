"""Processes that outlive the command that started them.

A pid may belong to another process by the time it is read again. So a process is known by its pid, its start time and
the boot of the machine, and signals go through a descriptor that was compared with all three.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from relayproject.runtime.cluster.part import Part
from relayproject.runtime.logfiles import fresh
from relayproject.runtime.processes import bound_command

POLL_SECONDS = 0.02
PAUSED_STATES = frozenset("tT")
NOT_PASSED_ON = ("PG", "PATRONI", "LC_")
"""Variables that begin so, and would change what a part does."""

ANSWERED_ELSEWHERE = frozenset({"DATABASE_URL", "REDIS_URL", "CACHE_URL", "BUS_URL", "BROKER_URL", "REPLICA_URLS"})


class Process(msgspec.Struct, frozen=True):
    """A process of this machine. started: clock ticks since the boot. boot: the boot's id."""

    pid: int
    started: int
    boot: str


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, the state first; raises OSError."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Process | None:
    """The process that has this pid now; None without one, or for a zombie."""
    with contextlib.suppress(OSError, IndexError):
        fields = _stat(pid)
        if fields[0] not in {"Z", "X"}:
            return Process(pid, int(fields[19]), _boot())
    return None


def is_alive(process: Process) -> bool:
    """Whether it still runs, paused or not."""
    return identify(process.pid) == process


def is_paused(process: Process) -> bool:
    """Whether it was stopped by a signal."""
    with contextlib.suppress(OSError):
        return _stat(process.pid)[0] in PAUSED_STATES and is_alive(process)
    return False


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal to this process and no other; False when it has ended."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        if not is_alive(process):
            return False
        signal.pidfd_send_signal(descriptor, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)


def children(pid: int) -> Iterator[Process]:
    """The direct children."""
    with contextlib.suppress(OSError):
        for thread in os.scandir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                for child in Path(thread.path, "children").read_text().split():
                    if (found := identify(int(child))) is not None:
                        yield found


def tree(process: Process) -> Iterator[Process]:
    """The process and all that it has started, parents first."""
    yield process
    for child in children(process.pid):
        yield from tree(child)


def wait_until_gone(process: Process, seconds: float) -> bool:
    """Wait at most `seconds` for its end; True when it has ended."""
    deadline = time.monotonic() + seconds
    while is_alive(process):
        if time.monotonic() > deadline:
            return False
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)  # a child of this command stays a zombie else
        time.sleep(POLL_SECONDS)
    return True


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The variables of this command without those that would change a part, and `settings`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(NOT_PASSED_ON) and name not in ANSWERED_ELSEWHERE
    }
    return {**kept, "LC_ALL": "C.UTF-8", **settings}


def start(part: Part) -> Process:
    """Start a part in a session of its own, its output in its log, whose last content is kept beside it.

    Raises OSError.
    """
    for folder in (part.folder, part.log.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with fresh(part.log) as log:
        started = subprocess.Popen(
            bound_command(part.argv, death_signal=0, run_as=part.run_as),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(part.settings),
            cwd=part.folder,
            start_new_session=True,
        )
    started.returncode = 0  # it is left running on purpose: Popen would warn of it
    process = identify(started.pid)
    if process is None:
        raise OSError(f"{part.name} ended at once")
    return process

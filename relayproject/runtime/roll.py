"""Replacing the processes of a running `serve` without a stop: how a command asks for it, and how far it is.

`manage.py roll` sends ROLL to the supervisor, which checks the program as it is on disk now, executes it in its own
place (handover.py), and then replaces the relay workers and the jobs. Its progress is in `roll.json` of the data
folder.
"""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from relayproject.runtime.datafolder import write_private

ROLL = signal.SIGUSR2
FILE = "roll.json"
POLL_SECONDS = 0.1
ANSWER_SECONDS = 10.0
DONE, FAILED = "done", "failed"


class RollError(Exception):
    """The roll was refused or has failed; the text is one sentence."""


class Progress(msgspec.Struct, frozen=True):
    """The newest roll of a data folder. state: "checking", "replacing", DONE or FAILED; text says more."""

    number: int = 0
    state: str = DONE
    text: str = ""


def progress(folder: Path) -> Progress:
    """The newest roll; number 0 if there was none."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Progress)
    except (OSError, msgspec.DecodeError):
        return Progress()


def note(folder: Path, now: Progress) -> None:
    """Write it for the commands that wait for it."""
    write_private(folder / FILE, msgspec.json.encode(now).decode() + "\n")


def running(folder: Path) -> int:
    """The process id of the `serve` on a data folder. Raises RollError if none runs, not on this machine, or as another
    user.
    """
    try:
        with (folder / "serve.lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = int(file.read())
                if _serves(pid, os.fstat(file.fileno())):
                    return pid
                raise RollError(
                    f"The relay on {folder} runs in another container or machine: ask for it there."
                ) from None
    except PermissionError:
        raise RollError(f"The data folder {folder} cannot be read: ask as the user of the relay.") from None
    except (OSError, ValueError):
        pass
    raise RollError(f"No relay runs on the data folder {folder}.")


def _serves(pid: int, lock: os.stat_result) -> bool:
    """Whether the process holds the lock. In another container the number is that of another process, which the signal
    would end. True where there is no /proc.
    """
    return not Path("/proc/self/fd").exists() or _has_open(pid, lock) or _is_noted(pid, lock)


def _has_open(pid: int, lock: os.stat_result) -> bool:
    """Whether the process has the lock's file open, as far as this one may look."""
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(f"/proc/{pid}/fd/{name}"), lock):
                    return True
    return False


def _is_noted(pid: int, lock: os.stat_result) -> bool:
    """Whether the kernel's list has the lock as one of the process, by its number in this container.

    From another user namespace nothing else can be seen, and with PrivateUsers systemd gives each command of a unit one
    of its own: ExecReload could not find the relay.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():  # 2: FLOCK  ADVISORY  WRITE 9235 fe:00:2146338 0 EOF
            kind, _, _, holder, place = (*line.split()[1:6], *[""] * 5)[:5]
            if kind == "FLOCK" and holder == str(pid) and place.endswith(f":{lock.st_ino}"):
                return True
    return False


def roll(folder: Path, seconds: float, tell: Callable[[str], object] = lambda text: None) -> None:
    """Replace the processes of the `serve` on a data folder; returns when the old ones have ended.

    `tell` is called with each step. Raises RollError, also after `seconds`.
    """
    pid, before = running(folder), progress(folder).number
    try:
        os.kill(pid, ROLL)
    except OSError as error:
        raise RollError(f"The relay, process {pid}, cannot be asked: {error.strerror}.") from error
    began = time.monotonic()
    told = ""
    while True:
        now = progress(folder)
        if now.number > before:
            if now.text not in ("", told):
                told = now.text
                tell(told)
            if now.state == DONE:
                return
            if now.state == FAILED:
                raise RollError(now.text)
        elif time.monotonic() > began + ANSWER_SECONDS:
            busy = "starting or stopping" if now.state in (DONE, FAILED) else "rolling already, starting or stopping"
            raise RollError(f"The relay does not take the request: it is {busy}.")
        if time.monotonic() > began + seconds:
            raise RollError(f"It has not ended after {seconds:g} s; it goes on.")
        if running(folder) != pid:
            raise RollError("The relay was started again meanwhile.")
        time.sleep(POLL_SECONDS)

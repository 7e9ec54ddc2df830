"""The state file of a cluster, and the lock that lets one command change it at a time.

cluster.json (0600)   options, secrets, and the processes that were started: command, settings, pid and start time
cluster.lock          locked while a command changes the cluster
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec

from relayproject.runtime.cluster.detached import Process
from relayproject.runtime.cluster.options import Options
from relayproject.runtime.datafolder import write_private
from relayproject.runtime.errors import StartupError


class Running(msgspec.Struct, frozen=True):
    """A part that was started: how, and as which process. The settings hold secrets."""

    argv: tuple[str, ...]
    settings: dict[str, str]
    folder: str
    log: str
    process: Process


class State(msgspec.Struct):
    """Everything that outlives a command.

    primary: the PostgreSQL server that was started or promoted as the primary, without Patroni. joined: the servers of
    a Valkey cluster were made one.
    """

    options: Options
    secret_key: str
    password: str
    primary: str = "postgres-1"
    joined: bool = False
    running: dict[str, Running] = {}


def new_state(options: Options) -> State:
    """Of a cluster that has no data yet."""
    return State(options, secrets.token_urlsafe(50), secrets.token_urlsafe(24))


def file_of(folder: Path) -> Path:
    """The file of the cluster in `folder`."""
    return folder / "cluster.json"


def load(folder: Path) -> State | None:
    """The state of the cluster in `folder`; None without one. Raises StartupError."""
    try:
        return msgspec.json.decode(file_of(folder).read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise StartupError(f"{file_of(folder)} cannot be read: {error}") from error


def save(folder: Path, state: State) -> None:
    """Write it atomically, readable by its owner alone."""
    write_private(file_of(folder), msgspec.json.format(msgspec.json.encode(state)).decode() + "\n")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that no other command changes the cluster. Raises StartupError."""
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        lock = os.open(folder / "cluster.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartupError(f"{folder} cannot be written ({error.strerror}): choose another --folder.") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartupError(f"Another command changes the cluster in {folder} at this moment.") from None
        yield
    finally:
        os.close(lock)

"""The data folder of a relay: its lock, the secret key, sockets, and the addresses of the embedded servers.

var/serve.lock      locked while a `serve` runs on the folder; its process id
var/roll.json       progress of the newest roll (roll.py; 0600)
var/secret_key      Django's key in local mode (0600)
var/first_password  the first administrator's, until it was changed (0600); only if it was not printed on a terminal
var/services.json   addresses of the embedded servers while they run (0600)
var/postgres/       the database cluster;  var/postgres.log, var/valkey.log  the servers' logs (logfiles.py)
var/run/            Unix sockets, or a link to them where the path is too long
"""

import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from relayproject.runtime.errors import StartupError

SOCKET_PATH_BYTES = 107  # maximum length of a Unix socket's path on Linux
LONGEST_NAME = len("/.s.PGSQL.5432.lock")
SAFE_PATH = re.compile(r"[A-Za-z0-9._/-]+")  # commas, quotes and @ are special to PostgreSQL and libpq


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 0600, atomically."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


@dataclass(slots=True)
class DataFolder:
    """The folder `path`, locked by this process from `take()` to `release()`."""

    path: Path
    _lock: int = field(default=-1, init=False)
    _sockets: Path | None = field(default=None, init=False)

    def take(self) -> None:
        """Create the folder and lock it; raises StartupError when it cannot be written or is locked."""
        try:
            self.path.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "serve.lock", os.O_RDWR | os.O_CREAT, 0o600)
            (self.path / "run").mkdir(mode=0o700, exist_ok=True)
            write_private(self.path / "run" / "writable", "")
            (self.path / "run" / "writable").unlink()
        except OSError as error:
            raise StartupError(
                f"The data folder {self.path} cannot be written ({error.strerror}): set RELAY_DATA_DIR to one that can."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartupError(
                f"The data folder {self.path} is in use by another start: stop that, or set RELAY_DATA_DIR."
            ) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def inherit(self, lock: int) -> None:
        """Go on with the lock and the sockets of an earlier program of this process."""
        self._lock = lock
        link = self.path / "run" / "sockets"
        self._sockets = link.readlink() if link.is_symlink() else self.path / "run"

    @property
    def lock(self) -> int:
        """The descriptor of the lock."""
        return self._lock

    def release(self) -> None:
        """Remove the addresses and sockets of the servers, and unlock."""
        (self.path / "services.json").unlink(missing_ok=True)
        self._drop_short_sockets()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def secret_key(self) -> str:
        """The content of the file `secret_key`, generated on the first start."""
        path = self.path / "secret_key"
        if not path.exists() or not path.read_text().strip():
            write_private(path, secrets.token_urlsafe(50) + "\n")
        return path.read_text().strip()

    def announce(self, services: dict[str, str]) -> None:
        """Write services.json, which settings.py of other commands reads: variable -> URL."""
        write_private(self.path / "services.json", json.dumps(services, indent=1) + "\n")

    def sockets(self) -> Path:
        """A private folder with a path short enough for Unix sockets and without special characters."""
        if self._sockets is None:
            self._drop_short_sockets()
            run = self.path / "run"
            text = str(run)
            if len(os.fsencode(text)) + LONGEST_NAME <= SOCKET_PATH_BYTES and SAFE_PATH.fullmatch(text):
                self._sockets = run
            else:
                self._sockets = Path(tempfile.mkdtemp(prefix="nr-", dir="/tmp"))
                (run / "sockets").symlink_to(self._sockets)
        return self._sockets

    def _drop_short_sockets(self) -> None:
        """Remove the folder in /tmp of this start or of one that was killed."""
        link = self.path / "run" / "sockets"
        if link.is_symlink():
            target = link.readlink()
            if target.name.startswith("nr-") and target.parent == Path("/tmp"):  # noqa: S108
                shutil.rmtree(target, ignore_errors=True)
            link.unlink()
        self._sockets = None

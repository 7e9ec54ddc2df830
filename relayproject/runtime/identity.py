"""Chooses the user that the embedded PostgreSQL runs as: it refuses to be root.

An ordinary user runs it as is. Root runs it in a user namespace of one user, where it stays root for the
file system; where namespaces are forbidden (containers), as an unprivileged user with the one capability that
reaches the data folder and binaries below a 0700 home. Permissions of parent folders are never changed.
"""

import os
import pwd
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from relayproject.runtime.processes import bound_command
from relayproject.runtime.refusal import Refusal

PREFERRED_USERS = ("postgres", "nobody", "daemon")


@dataclass(frozen=True, slots=True)
class Identity:
    """How the server is started (launch.py), and the user id that its files must have."""

    launch: str
    owner: int


def unprivileged_user() -> int:
    """The id of a user with a name that is not root; initdb looks the name up."""
    known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid}
    for name in PREFERRED_USERS:
        if name in known:
            return known[name]
    if not known:
        raise Refusal(
            "PostgreSQL does not run as root, and this system has no other user: add one, or set DATABASE_URL."
        )
    return next(iter(known.values()))


def works(launch: str) -> bool:
    """Whether this system lets a child take that identity."""
    command = bound_command(["/bin/true"], death_signal=signal.SIGKILL, identity=launch)
    return subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


def choose_identity() -> Identity:
    """The first way that works here; raises Refusal when none does."""
    if os.geteuid() != 0:
        return Identity("self", os.geteuid())
    uid = unprivileged_user()
    for identity in (Identity(f"namespace:{uid}", 0), Identity(f"capability:{uid}", uid)):
        if works(identity.launch):
            return identity
    raise Refusal("PostgreSQL does not run as root: start the relay as an ordinary user, or set DATABASE_URL.")


def give(folder: Path, owner: int) -> None:
    """Make `owner` own the folder and what is in it, when it does not yet (an earlier start had another identity)."""
    if os.geteuid() != 0 or folder.stat().st_uid == owner:
        return
    for path, _, names in os.walk(folder, topdown=False):
        for name in (*names, "."):
            os.chown(os.path.join(path, name), owner, owner, follow_symlinks=False)

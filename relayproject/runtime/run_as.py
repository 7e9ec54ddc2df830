"""Chooses the user that runs the embedded PostgreSQL, which refuses to run as root.

An ordinary user runs it as itself. Root runs it in a user namespace of one user, where it stays root for the file
system; where namespaces are forbidden (containers), as an unprivileged user with CAP_DAC_OVERRIDE, which reaches data
folder and binaries below a 0700 home. Permissions of parent folders are never changed.
"""

import os
import pwd
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from relayproject.runtime.errors import StartupError
from relayproject.runtime.processes import bound_command

PREFERRED_USERS = ("postgres", "nobody", "daemon")


@dataclass(frozen=True, slots=True)
class RunAs:
    """`launch`: the RUN_AS argument of launch.py. `owner`: the user id that the server's files must have."""

    launch: str
    owner: int


def unprivileged_user() -> int:
    """The id of a user other than root that has a name (initdb looks it up). Raises StartupError without one."""
    known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid}
    for name in PREFERRED_USERS:
        if name in known:
            return known[name]
    if not known:
        raise StartupError(
            "PostgreSQL does not run as root, and this system has no other user: add one, or set DATABASE_URL."
        )
    return next(iter(known.values()))


def is_permitted(launch: str) -> bool:
    """True when this system lets a child run so."""
    command = bound_command(["/bin/true"], death_signal=signal.SIGKILL, run_as=launch)
    return subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


def choose_run_as() -> RunAs:
    """The first way that this system permits; raises StartupError when it permits none."""
    if os.geteuid() != 0:
        return RunAs("self", os.geteuid())
    uid = unprivileged_user()
    for run_as in (RunAs(f"namespace:{uid}", 0), RunAs(f"capability:{uid}", uid)):
        if is_permitted(run_as.launch):
            return run_as
    raise StartupError("PostgreSQL does not run as root: start the relay as an ordinary user, or set DATABASE_URL.")


def chown_tree(folder: Path, owner: int) -> None:
    """Change the owner of the folder and its content if an earlier start ran as another user. Only root can."""
    if os.geteuid() != 0 or folder.stat().st_uid == owner:
        return
    for path, _, names in os.walk(folder, topdown=False):
        for name in (*names, "."):
            os.chown(os.path.join(path, name), owner, owner, follow_symlinks=False)

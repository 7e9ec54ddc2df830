"""Executes a program that ends with its parent and, where asked, does not run as root.

`python -I -S launch.py SIGNAL PARENT RUN_AS PROGRAM ARGUMENT...`; it imports nothing of the project and takes a few
milliseconds. The kernel sends SIGNAL when PARENT dies. RUN_AS is `self`, `namespace:UID` or `capability:UID`
(run_as.py).
"""

import contextlib
import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522
CLONE_NEWUSER = 0x10000000

libc = ctypes.CDLL(None, use_errno=True)


def _must(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def enter_namespace(uid: int) -> None:
    """Become `uid` in a user namespace of one user: files stay root's, 0700 folders stay reachable. Raises OSError."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _must(libc.unshare(CLONE_NEWUSER), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {outer_uid} 1"),
        ("gid_map", f"{uid} {outer_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def keep_one_capability(uid: int) -> None:
    """Become `uid` with CAP_DAC_OVERRIDE only: data folder and binaries below /root stay reachable. Raises OSError."""
    _must(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "keep capabilities")
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    mask = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable
    _must(libc.capset(header, data), "set capabilities")
    _must(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0), "keep a capability")


def main() -> None:
    """Set identity and parent-death signal, then exec; exits 1 when the parent is gone or there is no program."""
    signal_number, parent, run_as = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    how, _, uid = run_as.partition(":")
    if how == "namespace":
        enter_namespace(int(uid))
    elif how == "capability":
        keep_one_capability(int(uid))
    # After the change of user, which clears it. Then check, because the parent may have died before.
    _must(libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "follow the parent")
    if os.getppid() != parent:
        sys.exit(1)
    with contextlib.suppress(FileNotFoundError):
        os.execv(sys.argv[4], sys.argv[4:])  # noqa: S606  no shell is wanted
    sys.exit(f"{sys.argv[4]}: no such program")


if __name__ == "__main__":
    main()

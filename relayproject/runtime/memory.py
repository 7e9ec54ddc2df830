"""How much memory this process may use: that of the machine, or less in a container or a systemd unit with a limit."""

import contextlib
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def memory_bytes(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """The least of the machine's memory and the limits of the control groups (version 1 and 2) of this process."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits(cgroups, membership)])


def _limits(cgroups: Path, membership: Path) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            root, name = (cgroups / "memory", "memory.limit_in_bytes") if controllers else (cgroups, "memory.max")
            own = root / group.strip("/")
            for folder in (own, *own.parents):  # a limit holds for all groups below
                with contextlib.suppress(OSError, ValueError):  # no such file; "max"
                    found.append(int((folder / name).read_text()))
                if folder == root:
                    break
    return found

"""The memory that a process may use is that of the machine, or what its control groups leave of it."""

import os
from pathlib import Path

import pytest

from relayproject.runtime.memory import memory_bytes

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
MIB = 2**20


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/", {}, MACHINE),
        ("0::/", {"memory.max": "max\n"}, MACHINE),
        ("0::/", {"memory.max": f"{512 * MIB}\n"}, 512 * MIB),
        ("0::/system.slice/relay.service", {"system.slice/relay.service/memory.max": f"{MIB}"}, MIB),
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": f"{7 * MIB}", "memory.max": f"{9 * MIB}"}, 7 * MIB),
        ("5:cpu:/x\n4:memory:/x", {"memory/x/memory.limit_in_bytes": f"{3 * MIB}"}, 3 * MIB),
        ("5:memory:/", {"memory/memory.limit_in_bytes": f"{2**63 - 4096}"}, MACHINE),
    ],
)
def test_the_least_limit_counts(tmp_path: Path, membership: str, files: dict[str, str], expected: int) -> None:
    (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text)
    assert memory_bytes(tmp_path / "groups", tmp_path / "membership") == expected


def test_without_control_groups_it_is_the_machines(tmp_path: Path) -> None:
    assert memory_bytes(tmp_path / "groups", tmp_path / "membership") == MACHINE

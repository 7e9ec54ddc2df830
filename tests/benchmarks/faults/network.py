"""Cuts the network of a part: in a network namespace of the benchmark's own, by rules about the part's port.

Nothing passes on connections that are open, in either direction, without FIN or RST; new ones are unreachable. All
parts share the namespace, so this cuts a part from all its clients, not one pair of parts.
"""

import os
import subprocess
import sys
from collections.abc import Iterable

ENTERED = "RELAY_FAULTS_NETWORK"
SETUP = (
    "link set lo up",
    "rule add pref 10 lookup local",  # behind the rules of the cuts
    "rule del pref 0",
)


def enter() -> None:
    """Run this program again in a network namespace of its own, unless it is in one already. Needs root."""
    if ENTERED in os.environ:
        return
    command = ["unshare", "--net", sys.executable, "-m", "tests.benchmarks.faults", *sys.argv[1:]]
    os.execvpe("unshare", command, {**os.environ, ENTERED: "1"})


def prepare() -> None:
    """Give the namespace its loopback interface; raises CalledProcessError."""
    for command in SETUP:
        _ip(command)


def cut(ports: Iterable[int]) -> None:
    """Let nothing pass to and from these ports; raises CalledProcessError."""
    for port in ports:
        for end in ("sport", "dport"):
            _ip(f"rule add pref 5 ipproto tcp {end} {port} unreachable")


def mend() -> None:
    """End all cuts of this namespace."""
    while (
        ENTERED in os.environ
        and subprocess.run(["ip", "rule", "del", "pref", "5"], check=False, capture_output=True).returncode == 0
    ):
        pass


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, capture_output=True)

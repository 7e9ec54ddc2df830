"""Cuts of the network: each machine of the cluster is a control group, and its packets to and from ports vanish.

A machine is a part, or a Patroni with the PostgreSQL that it starts. Nothing passes between the two sides of a cut, on
open connections and on new ones, in either direction and without a word; everything else passes. A process belongs to
the group in which it was started, and so do its sockets: only parts that this run has started can be cut.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from relayproject.runtime.cluster import detached
from relayproject.runtime.cluster.detached import Process
from relayproject.runtime.cluster.options import Options
from relayproject.runtime.cluster.part import Part
from relayproject.runtime.errors import StartupError
from tests.benchmarks.faults import packets

CLIENTS = "clients"
"""The group of this process."""

MEMBERS = "cgroup.procs"


def ports_of(part: str, options: Options) -> list[int]:
    """Where the part listens."""
    if part in {"haproxy", "prometheus", "valkey-broker"}:
        return {
            "haproxy": [options.public_port, options.operators_port],
            "prometheus": [options.prometheus_port],
            "valkey-broker": [options.broker_port],
        }[part]
    kind, _, number = part.rpartition("-")
    at = int(number)
    return {
        "etcd": [*options.etcd_ports(at)],
        "patroni": [options.patroni_port(at)],
        "postgres": [options.postgres_port(at)],
        "valkey": [options.valkey_port(at), options.valkey_bus_port(at)],
        "sentinel": [options.sentinel_port(at)],
        "relay": [options.instance_port(at)],
    }[kind]


class Network:
    """The control groups of one run, in a group of its own. Raises StartupError where the system allows none."""

    def __init__(self) -> None:
        self._links: list[int] = []
        mount = _mount()
        self._before = mount / _own_group().lstrip("/")
        self._groups = mount / f"relay-faults-{os.getpid()}"
        try:
            self._make(CLIENTS)
            self._enter(self._groups / CLIENTS)
        except OSError as error:
            raise StartupError(f"Cuts need root and a control group: {error}") from error

    def start(self, part: Part) -> Process:
        """`detached.start` in the group of the part's machine."""
        with self._inside(self._make(part.name)):
            return detached.start(part)

    def cut(self, names: Sequence[str], others: Sequence[str], options: Options) -> None:
        """Let nothing pass between the machines of these parts and those, by the ports of the parts. Raises
        StartupError.
        """
        ones, those = self._ports(names, options), self._ports(others, options)
        try:
            for groups, ports in ((ones, those), (those, ones)):
                every = {port for some in ports.values() for port in some}
                for group in groups if every else ():
                    self._links += packets.drop(group, every)
        except OSError as error:
            raise StartupError(f"The network cannot be cut: {error}") from error

    def isolate(self, names: Sequence[str], everyone: Sequence[str], options: Options) -> None:
        """Cut these parts from the other machines of `everyone`, and from clients."""
        machines = {self._machine(name) for name in names}
        others = [name for name in everyone if self._machine(name) not in machines]
        self.cut(names, [*others, CLIENTS], options)

    def mend(self) -> None:
        """End all cuts."""
        while self._links:
            os.close(self._links.pop())

    def close(self) -> None:
        """End all cuts, and remove the groups in which nothing runs any more."""
        self.mend()
        self._enter(self._before)
        for group in (*self._groups.iterdir(), self._groups):
            with contextlib.suppress(OSError):
                group.rmdir()

    def _ports(self, names: Sequence[str], options: Options) -> dict[Path, list[int]]:
        found: dict[Path, list[int]] = {}
        for name in names:
            group = self._machine(name)
            if not group.exists() or not (group / MEMBERS).read_text():
                raise StartupError(f"{name} does not run, or this run has not started it: it cannot be cut off.")
            found.setdefault(group, []).extend([] if name == CLIENTS else ports_of(name, options))
        return found

    def _machine(self, name: str) -> Path:
        """The group of a part, which for PostgreSQL under Patroni is Patroni's."""
        group = self._groups / name
        return group if group.exists() else self._groups / name.replace("postgres", "patroni")

    def _make(self, name: str) -> Path:
        group = self._groups / name
        group.mkdir(parents=True, exist_ok=True)
        return group

    @contextlib.contextmanager
    def _inside(self, group: Path) -> Iterator[None]:
        """This process in that group: what it starts is born there."""
        self._enter(group)
        try:
            yield
        finally:
            self._enter(self._groups / CLIENTS)

    @staticmethod
    def _enter(group: Path) -> None:
        (group / MEMBERS).write_text("0")  # this process


def _mount() -> Path:
    """Where the control groups of version 2 are."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise StartupError("Cuts need control groups of version 2: mount -t cgroup2 none /sys/fs/cgroup/unified")


def _own_group() -> str:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")

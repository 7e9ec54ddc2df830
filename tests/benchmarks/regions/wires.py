"""The wires between regions: a delay, a share of packets that are lost, or cut without a word.

By netem on veth devices, or, on a kernel without it, by forwarder.py.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Protocol

from relayproject.runtime.processes import bound_command
from tests.namespaces import Namespace

PROJECT = Path(__file__).resolve().parents[3]
QUEUE_PACKETS = 50_000


class Carrier(Protocol):
    """What carries the packets."""

    how: str

    def set(self, wire: int, delay_seconds: float, loss: float) -> None:
        """One way; `loss` is a share."""

    def close(self) -> None:
        """End it."""


class Netem:
    """Pairs of veth devices with the kernel's network emulator."""

    how = "netem"

    def __init__(self, pairs: Sequence[tuple[Namespace, Namespace]]) -> None:
        self._pairs = pairs
        for number, (here, there) in enumerate(pairs):
            name = f"w{number}"
            here.run("ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", there.path)
            for end in (here, there):  # so that packets are lost, not trains of them
                end.run("ip", "link", "set", name, "gso_max_segs", "1")

    @staticmethod
    def is_there(namespace: Namespace) -> bool:
        """Whether the kernel has it."""
        try:
            namespace.run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
        except subprocess.CalledProcessError:
            return False
        namespace.run("tc", "qdisc", "del", "dev", "lo", "root")
        return True

    def set(self, wire: int, delay_seconds: float, loss: float) -> None:
        """One way; `loss` is a share."""
        rule = f"netem delay {delay_seconds * 1_000:g}ms loss {loss * 100:g}% limit {QUEUE_PACKETS}"
        for end in self._pairs[wire]:
            end.run("tc", "qdisc", "replace", "dev", f"w{wire}", "root", *rule.split())

    def close(self) -> None:
        """The devices end with their namespaces."""


class Program:
    """forwarder.py, which ends with this process."""

    how = "a program that delays the packets of TUN devices, because this kernel has no netem"

    def __init__(self, pairs: Sequence[tuple[Namespace, Namespace]]) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.regions.forwarder"]
        self._process = subprocess.Popen(
            bound_command([*command, *(f"{here.path}:{there.path}" for here, there in pairs)]),
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._answered()

    def set(self, wire: int, delay_seconds: float, loss: float) -> None:
        """One way; `loss` is a share."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([wire, delay_seconds, loss]) + "\n")
        self._process.stdin.flush()
        self._answered()

    def _answered(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ok\n":
            raise OSError("the program that carries packets has ended")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


class Wires:
    """One between each two of the namespaces, which know each other by the addresses of `address`."""

    def __init__(self, ends: Sequence[Namespace], round_trips_ms: dict[frozenset[int], int]) -> None:
        """`round_trips_ms` by pair of places in `ends`."""
        self._pairs = [frozenset(pair) for pair in combinations(range(len(ends)), 2)]
        self._round_trips = round_trips_ms
        made = [(ends[min(pair)], ends[max(pair)]) for pair in self._pairs]
        self._carrier: Carrier = Netem(made) if Netem.is_there(ends[0]) else Program(made)
        self.how = self._carrier.how
        for number, pair in enumerate(self._pairs):
            for place in pair:
                address = self.address(place, *(pair - {place}))
                ends[place].run("ip", "address", "add", f"{address}/30", "dev", f"w{number}")
                ends[place].run("ip", "link", "set", f"w{number}", "up")
            self.set(*pair)

    def address(self, place: int, other: int) -> str:
        """Where `place` is reached from `other`."""
        return f"10.99.{self._pairs.index(frozenset({place, other}))}.{1 if place < other else 2}"

    def set(self, here: int, there: int, loss: float = 0.0) -> None:
        """With its delay; loses this share of packets, all of them if it is 1."""
        pair = frozenset({here, there})
        self._carrier.set(self._pairs.index(pair), self._round_trips[pair] / 2_000, loss)

    def close(self) -> None:
        """End what carries."""
        self._carrier.close()

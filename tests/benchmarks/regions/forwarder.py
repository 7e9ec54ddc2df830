"""Carries packets between network namespaces, late and with losses: what netem does, on kernels without it.

`python -m tests.benchmarks.regions.forwarder PATH:PATH ...`, a pair of namespaces for each wire; it has a device `w0`,
`w1` ... (TUN) in both. Lines of standard input, `[wire, delay in seconds, share that is lost]`, set a wire, each with
`ok` for an answer; it ends with its input.
"""

import contextlib
import fcntl
import heapq
import itertools
import json
import os
import random
import select
import struct
import sys
import time

from tests.namespaces import entered

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
AT_ONCE = 64
PACKET_BYTES = 65_536
MOST_QUEUED = 50_000
"""Packets under way; further ones are lost, as on a real line."""


def device(path: str, name: str) -> int:
    """A TUN device in a namespace; packets are read and written one by one. Raises OSError."""

    def made() -> int:
        file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
        return file

    return entered(path, made)


class Forwarder:
    """Wires between devices. `set` may be called at any time."""

    def __init__(self, pairs: list[tuple[int, int]]) -> None:
        self._other = {end: other for pair in pairs for end, other in (pair, pair[::-1])}
        self._wire = {end: number for number, pair in enumerate(pairs) for end in pair}
        self._set = [(0.0, 0.0)] * len(pairs)
        self._queue: list[tuple[float, int, int, bytes]] = []
        self._numbers = itertools.count()
        self._chance = random.Random(1)

    def set(self, wire: int, delay_seconds: float, loss: float) -> None:
        """Holds for packets that come from now on."""
        self._set[wire] = (delay_seconds, loss)

    def take(self, end: int) -> None:
        """Read what has come from a device."""
        delay, loss = self._set[self._wire[end]]
        due = time.monotonic() + delay
        with contextlib.suppress(BlockingIOError):
            for _ in range(AT_ONCE):
                packet = os.read(end, PACKET_BYTES)
                if self._chance.random() >= loss and len(self._queue) < MOST_QUEUED:
                    heapq.heappush(self._queue, (due, next(self._numbers), self._other[end], packet))

    def deliver(self) -> float:
        """Write what is due; returns the seconds until the next packet, -1 if there is none."""
        while self._queue and self._queue[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(self._queue)
            with contextlib.suppress(OSError):
                os.write(end, packet)
        return max(0.0, self._queue[0][0] - time.monotonic()) if self._queue else -1.0


def main() -> None:
    """Carry packets until standard input ends."""
    pairs = []
    for number, paths in enumerate(sys.argv[1:]):
        here, there = (device(path, f"w{number}") for path in paths.split(":"))
        pairs.append((here, there))
    forwarder, poll = Forwarder(pairs), select.epoll()
    for end in itertools.chain([0], *pairs):
        poll.register(end, select.EPOLLIN)
    print("ok", flush=True)
    wait = -1.0
    while True:
        for end, _ in poll.poll(wait):
            if end:
                forwarder.take(end)
            elif line := sys.stdin.readline():
                forwarder.set(*json.loads(line))
                print("ok", flush=True)
            else:
                return
        wait = forwarder.deliver()


if __name__ == "__main__":
    main()

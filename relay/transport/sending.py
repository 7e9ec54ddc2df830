"""The memory of what clients have not read: one budget for the write buffers of all connections of a worker.

A write buffer may have 16 MiB, so 2,000 clients that subscribe to all and never read would take 32 GB. Rule: buffers
above high water take at most SENDING_BYTES. Above it those connections are cut, from the one that has read nothing for
the longest time on, that have read nothing since they were last looked at; if all that one write looks at have read,
those of them that hold the most. The one that is written to is spared: its client had no time to read.
"""

from collections import OrderedDict
from typing import Protocol

SENDING_BYTES = 512 * 1024 * 1024

LOOKED_AT = 256
"""Connections that one write looks at: 8,000 of which each reads a byte now and then took 63 ms of the loop."""


class Holder(Protocol):
    """What sends: the write buffer of a connection."""

    def __hash__(self) -> int: ...

    def unread_bytes(self) -> int:
        """What is in it now."""

    def cut(self) -> None:
        """Drop the connection; called once for each time that it was held."""


class Sending:
    """Bytes by write buffer, in the order in which they began to hold some, or their clients were last seen to read."""

    def __init__(self, limit_bytes: int = SENDING_BYTES) -> None:
        self.total = 0
        self._limit = limit_bytes
        self._held: OrderedDict[Holder, int] = OrderedDict()  # whose first is found at once, as often as it is taken

    def hold(self, holder: Holder, size: int, written: int = 0) -> None:
        """`holder` has `size` bytes now, in all, of which `written` are new."""
        before = self._held.get(holder, 0)
        if size < before + written:
            self._held.pop(holder, None)  # its client reads
        self._held[holder] = size
        self.total += size - before
        if self.total > self._limit:
            self._cut_the_largest(self._cut_those_that_do_not_read(holder))

    def _cut_those_that_do_not_read(self, writing: Holder) -> list[Holder]:
        """Look once at other holders, the first in order first, until there is room; returns those that have read."""
        spared: list[Holder] = []
        for _ in range(min(LOOKED_AT, len(self._held) - 1)):
            in_order = iter(self._held)
            first = next(in_order)
            if first is writing:
                first = next(in_order)
            known, now = self._held[first], first.unread_bytes()
            self.release(first)
            if now < known:
                self.total += now
                self._held[first] = now
                spared.append(first)
            else:
                first.cut()
            if self.total <= self._limit:
                break
        return spared

    def _cut_the_largest(self, spared: list[Holder]) -> None:
        """There is no room though each of them has read a little."""
        for largest in sorted(spared, key=self._held.__getitem__, reverse=True):
            if self.total <= self._limit:
                return
            self.release(largest)
            largest.cut()

    def release(self, holder: Holder) -> None:
        """`holder` is below high water, or frees what it has."""
        self.total -= self._held.pop(holder, 0)


sending = Sending()
"""That of this worker."""

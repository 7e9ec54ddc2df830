"""The memory of what clients have not read: one budget for the write buffers of all connections of a worker.

A write buffer may have 16 MiB, so 2,000 clients that subscribe to all and never read would take 32 GB. Rule: buffers
above high water take at most SENDING_BYTES; above it the connection is cut that has read nothing for the longest time.
"""

from typing import Protocol

SENDING_BYTES = 512 * 1024 * 1024


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
        self._held: dict[Holder, int] = {}

    def hold(self, holder: Holder, size: int, written: int = 0) -> None:
        """`holder` has `size` bytes now, in all, of which `written` are new."""
        before = self._held.get(holder, 0)
        if size < before + written:
            self._held.pop(holder, None)  # its client reads
        self._held[holder] = size
        self.total += size - before
        while self.total > self._limit and len(self._held) > 1:
            first, known = next(iter(self._held.items()))
            now = first.unread_bytes()
            self.release(first)
            if now < known:
                self.total += now
                self._held[first] = now
            else:
                first.cut()

    def release(self, holder: Holder) -> None:
        """`holder` is below high water, or frees what it has."""
        self.total -= self._held.pop(holder, 0)


sending = Sending()
"""That of this worker."""

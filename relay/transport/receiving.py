"""The memory of messages that are being received: one budget for all connections of a worker.

A message may have 1 MiB, so 20,000 clients that send all of it but the end would take 20 GB. Rule: read buffers that
have grown and unfinished messages take at most RECEIVING_BYTES; above it the connection that began first gives back its
memory: its buffer if that is empty, else the connection is closed with 1013.
"""

from typing import Protocol

RECEIVING_BYTES = 128 * 1024 * 1024


class Holder(Protocol):
    """What receives: the read buffer of a connection."""

    def __hash__(self) -> int: ...

    def give_back(self) -> None:
        """Free the memory, soon; called once for each time that it was held."""


class Receiving:
    """Bytes by connection, in the order in which they began to hold some."""

    def __init__(self, limit_bytes: int = RECEIVING_BYTES) -> None:
        self.total = 0
        self._limit = limit_bytes
        self._held: dict[Holder, int] = {}

    def hold(self, holder: Holder, size: int) -> None:
        """`holder` has `size` bytes now, in all."""
        self.total += size - self._held.get(holder, 0)
        self._held[holder] = size
        while self.total > self._limit and self._held:
            first = next(iter(self._held))
            self.release(first)
            first.give_back()

    def release(self, holder: Holder) -> None:
        """`holder` has nothing any more, or frees it."""
        self.total -= self._held.pop(holder, 0)


receiving = Receiving()
"""That of this worker."""

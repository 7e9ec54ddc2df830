"""What each worker of an instance has acknowledged, in memory that they share.

Rule: a worker writes its own place alone, before the OK goes out, and its number only rises within an epoch. Whoever
hears of the OK, by whatever way, and asks another worker, finds the number there.
"""

import mmap
import os
import secrets
from tempfile import TemporaryFile

HEAD_BYTES = 64
NAME_BYTES = 16
PLACE_BYTES = 16  # an epoch and a number, each in one machine word, which the processor writes at once


class Board:
    """The places of all workers under the name of their instance. `slot` is this worker's, from 0."""

    def __init__(self, memory: mmap.mmap, slot: int) -> None:
        self.name = memory[:NAME_BYTES].decode()
        words = memoryview(memory)[HEAD_BYTES:].cast("q")
        self._words = words
        self._mine = 2 * slot
        self._places = range(0, len(words), 2)

    @classmethod
    def open(cls, descriptor: int, slot: int) -> "Board":
        """The board behind a file that `make` has made. Raises ValueError when it has no such place."""
        size = os.fstat(descriptor).st_size
        if not 0 <= slot < (size - HEAD_BYTES) // PLACE_BYTES:
            raise ValueError(f"a board of {size} bytes has no place for worker {slot + 1}")
        return cls(mmap.mmap(descriptor, size), slot)

    @classmethod
    def of_one(cls) -> "Board":
        """The board of a process that is an instance by itself."""
        memory = mmap.mmap(-1, HEAD_BYTES + PLACE_BYTES)
        memory[:NAME_BYTES] = _name()
        return cls(memory, 0)

    def put(self, epoch: int, position: int) -> None:
        """This worker acknowledges what lies at `position` of an epoch's order, and below."""
        words, at = self._words, self._mine
        if words[at] != epoch:
            words[at + 1] = 0  # first: the old number is none of the new epoch's
            words[at] = epoch
        words[at + 1] = max(words[at + 1], position)

    def highest(self, epoch: int) -> int:
        """Up to where somebody of this instance has acknowledged something in that epoch."""
        words = self._words
        highest = 0
        for at in self._places:
            if words[at] == epoch and words[at + 1] > highest:
                highest = words[at + 1]
        return highest


def make(places: int) -> int:
    """A descriptor of a new board under a new name, to be handed to the workers; the caller closes it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("relay-board")
    else:
        with TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, HEAD_BYTES + places * PLACE_BYTES)
    os.pwrite(descriptor, _name(), 0)
    return descriptor


def _name() -> bytes:
    return secrets.token_hex(NAME_BYTES // 2).encode()

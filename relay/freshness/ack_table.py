"""The acknowledged positions of the workers of one instance, in shared memory.

Rule: a worker writes only its own slot, before the OK is sent, and its position only rises within an epoch of a store.
So a client that has an OK and asks another worker finds the position there.
"""

import mmap
import os
import secrets
from tempfile import TemporaryFile

HEAD_BYTES = 64
NAME_BYTES = 16
SLOT_BYTES = (
    16  # a log key (Store.log_key) and a position, each in one machine word, which the processor writes at once
)


class AckTable:
    """The slots of all workers of the instance `name`. `slot` is this worker's, from 0."""

    def __init__(self, memory: mmap.mmap, slot: int) -> None:
        self.name = memory[:NAME_BYTES].decode()
        words = memoryview(memory)[HEAD_BYTES:].cast("q")
        self._words = words
        self._mine = 2 * slot
        self._slots = range(0, len(words), 2)

    @classmethod
    def open(cls, descriptor: int, slot: int) -> "AckTable":
        """Map the table of a descriptor made by `make`. Raises ValueError if it has no such slot."""
        size = os.fstat(descriptor).st_size
        if not 0 <= slot < (size - HEAD_BYTES) // SLOT_BYTES:
            raise ValueError(f"a table of {size} bytes has no slot for worker {slot + 1}")
        return cls(mmap.mmap(descriptor, size), slot)

    @classmethod
    def of_one(cls) -> "AckTable":
        """The table of an instance with one process."""
        memory = mmap.mmap(-1, HEAD_BYTES + SLOT_BYTES)
        memory[:NAME_BYTES] = _random_name()
        return cls(memory, 0)

    def put(self, log_key: int, position: int) -> None:
        """This worker acknowledges everything up to `position` of a log."""
        words, at = self._words, self._mine
        if words[at] != log_key:
            words[at + 1] = 0  # first: the old position is none of the new log's
            words[at] = log_key
        words[at + 1] = max(words[at + 1], position)

    def highest(self, log_key: int) -> int:
        """The highest position that a worker of this instance has acknowledged in that log; 0 for none."""
        words = self._words
        highest = 0
        for at in self._slots:
            if words[at] == log_key and words[at + 1] > highest:
                highest = words[at + 1]
        return highest


def make(slots: int) -> int:
    """The file descriptor of a new table with a new name, for the workers to inherit; the caller closes it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("relay-acknowledged")
    else:
        with TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, HEAD_BYTES + slots * SLOT_BYTES)
    os.pwrite(descriptor, _random_name(), 0)
    return descriptor


def _random_name() -> bytes:
    return secrets.token_hex(NAME_BYTES // 2).encode()

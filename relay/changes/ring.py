"""The newest changes, in order, as far back as a bound in bytes allows.

Rule: the ring holds every change of (floor, position] exactly once; what it cannot say, it refuses to say.
"""

from collections import deque
from collections.abc import Sequence

from relay.changes.change import Added, Batch, Change
from relay.protocol.event import StoredEvent

ENTRY_OVERHEAD_BYTES = 400
"""What a change costs in memory beside its JSON text: objects, tag keys and index entries, measured on CPython 3.11."""


class OutOfReach(LookupError):
    """The ring does not reach back to that position: read the log, or ask the database again."""


def size_bytes(change: Change) -> int:
    """What a change counts for in the ring's bound."""
    return ENTRY_OVERHEAD_BYTES + (len(change.event.json) if type(change) is Added else 0)


class Ring:
    """Changes of (floor, position]; `max_bytes` bounds what is kept, whatever the number of changes."""

    def __init__(self, position: int, max_bytes: int) -> None:
        self.position = position
        self.floor = position
        self.bytes = 0
        self.evicted = 0
        self._max_bytes = max_bytes
        self._changes: deque[Change] = deque()
        self._events: dict[str, StoredEvent] = {}

    def __len__(self) -> int:
        return len(self._changes)

    def append(self, batch: Batch) -> Sequence[Change]:
        """Apply the part of `batch` that lies after `position`; returns that part.

        Raises ValueError when the batch does not join on: a hole must be filled first.
        """
        if batch.first > self.position + 1:
            raise ValueError(f"changes {self.position + 1} to {batch.first - 1} are missing")
        fresh = batch.changes if batch.first > self.position else batch.changes[self.position + 1 - batch.first :]
        for change in fresh:
            self._changes.append(change)
            self.bytes += size_bytes(change)
            if type(change) is Added:
                self._events[change.event.id] = change.event
            else:
                self._events.pop(change.event_id, None)  # type: ignore[union-attr]
        self.position = max(self.position, batch.last)
        while self.bytes > self._max_bytes:
            self._evict()
        return fresh

    def _evict(self) -> None:
        oldest = self._changes.popleft()
        self.bytes -= size_bytes(oldest)
        self.floor = oldest.seq
        self.evicted += 1
        if type(oldest) is Added and self._events.get(oldest.event.id) is oldest.event:
            del self._events[oldest.event.id]

    def since(self, position: int) -> list[Change]:
        """The changes after `position`, oldest first; empty when `position` is at or ahead of the ring's.

        Raises OutOfReach when changes after `position` are no longer held.
        """
        if position < self.floor:
            raise OutOfReach(f"the ring reaches back to {self.floor}, not to {position}")
        found: list[Change] = []
        for change in reversed(self._changes):
            if change.seq <= position:
                break
            found.append(change)
        found.reverse()
        return found

    def event(self, event_id: str) -> StoredEvent | None:
        """An event that was added lately and not removed since; None says nothing about older ones."""
        return self._events.get(event_id)

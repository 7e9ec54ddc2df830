"""Events by id: the ring and the window hold the newest, this holds those that were asked for, in L1 and L2.

An id's text never changes; whether the event is served does. Rule: a copy says so at a position, and is used only if
the ring can tell what became of the id since.
"""

from collections.abc import Callable, Sequence

from relay.caching.memory import Memory
from relay.caching.record import Foreign, Record, event_key, pack, unpack
from relay.caching.registry import CacheCounters, Layer, registry
from relay.caching.shared import Shared
from relay.caching.spread import ttl_seconds
from relay.changes.change import Added, Batch, Removed
from relay.changes.ring import Ring
from relay.changes.row import Row
from relay.protocol.visibility import NEVER_SERVED_KINDS

FEW = 8
"""A larger batch says that publishing is at its limit: L2 gets its events when they are asked for, the ring of every
process has them until then. To write each of them there cost a tenth of the rate."""

_ABSENT_BYTES = 150
_ENTRY_BYTES = 400


class Copy:
    """An event at a position, or its absence. `shared` is True when L2 has it as well."""

    __slots__ = ("position", "row", "shared")

    def __init__(self, position: int, row: Row | None, shared: bool) -> None:
        self.position = position
        self.row = row
        self.shared = shared


class Events:
    """The events of one process and of the shared cache."""

    def __init__(self, shared: Shared | None, epoch: Callable[[], int]) -> None:
        self.l1 = registry.register(CacheCounters("events", Layer.L1))
        self.l2 = registry.register(CacheCounters("events", Layer.L2))
        self._shared = shared
        self._epoch = epoch
        self._memory: Memory[str, Copy] = Memory(self.l1)

    def find(self, event_id: str, ring: Ring) -> Copy | None:
        """What is known of the id at the ring's position, None if nothing is. Not counted."""
        copy = self._memory.get(event_id)
        if copy is None:
            return None
        if not ring.floor <= copy.position <= ring.position:
            return None
        if copy.position != ring.position:
            # The ring does not hold the event itself, or it would have answered.
            if ring.touched((event_id,), copy.position) or ring.removed(event_id, copy.position):
                self._memory.drop(event_id)
                return None
            copy.position = ring.position
        if not copy.shared and copy.row is not None:
            copy.shared = True  # asked for a second time
            self._share([(event_id, copy.row.expires_at, copy.row.json)], copy.position)
        return copy

    def keep(self, event_id: str, position: int, row: Row | None, shared: bool = False) -> None:
        """Keep an event, or that there is none (`row` None), as it was at `position`."""
        size = _ABSENT_BYTES if row is None else _ENTRY_BYTES + len(row.json)
        self._memory.put(event_id, Copy(position, row, shared), size)

    async def load(self, ids: Sequence[str], ring: Callable[[], Ring]) -> int:
        """Bring from L2 into L1 what it has of `ids`; returns how many."""
        if self._shared is None or not ids:
            return 0
        found = 0
        epoch, before = self._epoch(), ring()
        values = await self._shared.get_many([event_key(epoch, event_id) for event_id in ids])
        if ring() is not before:  # another beginning: its numbers may mean something else
            return 0
        floor = before.floor
        for event_id, value in zip(ids, values, strict=True):
            if value is None:
                self.l2.misses += 1
                continue
            try:
                record = unpack(bytes.fromhex(event_id)[:16], value)
                row = Row.of(record.texts[0])
            except (Foreign, ValueError, IndexError):
                self.l2.errors += 1
                continue
            if record.position >= floor and row.id == event_id:
                found += 1
                self.keep(event_id, record.position, row, shared=True)
            else:
                self.l2.misses += 1
        self.l2.hits += found
        return found

    def published(self, batch: Batch) -> None:
        """Have L2 hold what this process has just committed, and no more what it took away."""
        if self._shared is None or not self._shared.up:
            return
        if len(batch.changes) <= FEW:
            added = [change.event for change in batch.changes if type(change) is Added]
            served = [(e.id, e.expires_at, e.json) for e in added if e.kind not in NEVER_SERVED_KINDS]
            self._share(served, batch.last)
        gone = [c.event_id for c in batch.changes if type(c) is Removed]
        if gone:
            epoch = self._epoch()
            self._shared.delete([event_key(epoch, event_id) for event_id in gone])

    def removed(self, event_id: str) -> None:
        """The event is served no more."""
        self._memory.drop(event_id)

    def _share(self, items: Sequence[tuple[str, int | None, bytes]], position: int) -> None:
        if self._shared is None or not items:
            return
        epoch = self._epoch()
        self._shared.set_many(
            [
                (
                    event_key(epoch, event_id),
                    pack(bytes.fromhex(event_id)[:16], Record(position, True, [text])),
                    ttl_seconds(expires_at),
                )
                for event_id, expires_at, text in items
            ]
        )

    def sweep(self, now: float) -> None:
        """Let go what nobody has asked for lately; `now` in seconds of the monotonic clock."""
        self._memory.sweep(now)

    def clear(self) -> None:
        """Drop the copies of this process."""
        self._memory.clear()

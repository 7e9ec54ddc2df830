"""The newest changes, in order, bounded in bytes.

Rule: the ring holds every change of (floor, position] exactly once, and raises OutOfReach below the floor.
"""

from collections import deque
from collections.abc import Collection, Sequence

from relay.changes.change import Added, Batch, Change, Purged, Removed, Vanished
from relay.changes.row import created_at_of, kind_of, pubkey_of
from relay.changes.sizes import LONG_TAGS, change_bytes
from relay.changes.vanished import VanishedKeys
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter
from relay.protocol.visibility import owners

TOUCHED_BYTES = 54
"""An entry by key: an event's id, author, kind or tag."""

Text = bytes
"""The JSON text of an event."""


def ring_keys(flt: Filter) -> Sequence[str | int] | None:
    """The keys of the ring of which every matching event has at least one; None when any event might match."""
    if flt.ids is not None:
        return list(flt.ids)
    if flt.tags:
        fewest: frozenset[str] = min((keys for _, keys in flt.tags), key=len)
        return list(fewest)
    if flt.authors is not None:
        return list(flt.authors)
    return list(flt.kinds) if flt.kinds is not None else None


class OutOfReach(LookupError):
    """The ring does not reach back to that position: read the log, or query again."""


class Ring:
    """The changes of (floor, position], at most `max_bytes` of them."""

    def __init__(self, position: int, max_bytes: int) -> None:
        self.position = position
        self.floor = position
        self.evicted = 0
        self._size = 0
        self._max_bytes = max_bytes
        self.complete_from = 0
        """No copy may be used before this position: the log does not hold events that were removed since, so the state
        below it, read from the log, may lack some. Set by the code that appends pages of the log."""
        self.newest_removal = 0
        """The number of the last removal of an event that was applied; 0 before the first."""
        self.newest_hiding = 0
        """The number of the last change that hides many events, a request to vanish or a purge; 0 before the first."""
        self._changes: deque[Change] = deque()
        self._events: dict[str, Added] = {}
        self._touched: dict[str | int, int] = {}
        self._any_tag_touched = 0
        """The number of the last event with more than LONG_TAGS tags, which has no entries by tag."""
        self._removed: dict[str, int] = {}
        self._vanished = VanishedKeys()
        self._purged: deque[Purged] = deque()  # some in an hour
        self._hides = False  # any of the two has an entry

    def __len__(self) -> int:
        return len(self._changes)

    @property
    def bytes(self) -> int:
        """The memory of what it holds."""
        return self._size + TOUCHED_BYTES * len(self._touched)

    def append(self, batch: Batch) -> Sequence[Change]:
        """Apply the part of `batch` after `position`; returns that part.

        Raises ValueError for a gap, which must be filled first.
        """
        if batch.first > self.position + 1:
            raise ValueError(f"changes {self.position + 1} to {batch.first - 1} are missing")
        fresh = batch.changes if batch.first > self.position else batch.changes[self.position + 1 - batch.first :]
        for change in fresh:
            self._changes.append(change)
            self._size += change_bytes(change)
            if type(change) is Added:
                event, seq = change.event, change.seq
                self._events[event.id] = change
                touched = self._touched
                touched[event.pubkey] = touched[event.kind] = touched[event.id] = seq
                if len(event.tag_keys) > LONG_TAGS:
                    self._any_tag_touched = seq
                else:
                    for key in event.tag_keys:
                        touched[key] = seq
            elif type(change) is Removed:
                gone = change.event_id
                self._events.pop(gone, None)
                self._removed[gone] = self.newest_removal = change.seq
            elif type(change) is Vanished:
                self._vanished.add(change)
                self.newest_hiding = change.seq
                self._hides = True
            elif type(change) is Purged:
                self._purged.append(change)
                self.newest_hiding = change.seq
                self._hides = True
        self.position = max(self.position, batch.last)
        while self.bytes > self._max_bytes:
            self._evict()
        return fresh

    def _evict(self) -> None:
        oldest = self._changes.popleft()
        self._size -= change_bytes(oldest)
        self.floor = oldest.seq
        self.evicted += 1
        if type(oldest) is Removed:
            if self._removed.get(oldest.event_id) == oldest.seq:
                del self._removed[oldest.event_id]
            return
        if type(oldest) is Vanished:
            self._vanished.discard(oldest)
            self._hides = bool(self._vanished or self._purged)
            return
        if type(oldest) is Purged:
            self._purged.popleft()
            self._hides = bool(self._vanished or self._purged)
            return
        assert type(oldest) is Added
        event, seq, touched = oldest.event, oldest.seq, self._touched
        if self._events.get(event.id) is oldest:
            del self._events[event.id]
        tags = () if len(event.tag_keys) > LONG_TAGS else event.tag_keys
        keys: tuple[str | int, ...] = (event.pubkey, event.kind, event.id, *tags)
        for key in keys:
            if touched.get(key) == seq:
                del touched[key]

    def since(self, position: int) -> list[Change]:
        """The changes after `position`, oldest first; empty at or ahead of the ring's position.

        Raises OutOfReach below the floor.
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

    def touched(self, keys: Collection[str | int], position: int) -> bool:
        """True if an event with any of `keys` was added after `position`, which must not lie below `floor`.

        A key is an event's id, author, kind, or letter and value of a tag. True may be wrong, False never is.
        """
        last = self._touched.get
        for key in keys:
            if last(key, 0) > position:
                return True
        # Kinds are numbers; any text may be a tag.
        return self._any_tag_touched > position and any(type(key) is str for key in keys)

    def removed(self, event_id: str, position: int) -> bool:
        """True if the event was removed after `position`, which must not lie below `floor`."""
        return self._removed.get(event_id, 0) > position

    def event(self, event_id: str) -> StoredEvent | None:
        """An event in the ring that was not removed since; None for all others, stored or not."""
        added = self._events.get(event_id)
        if added is None or (self._hides and self._is_hidden(added.event, added.seq)):
            return None
        return added.event

    def is_gone(self, event: StoredEvent, seq: int) -> bool:
        """True if the event, added by the change `seq`, was removed since; False may be wrong below the floor."""
        return self._removed.get(event.id, 0) > seq or (self._hides and self._is_hidden(event, seq))

    def _is_hidden(self, event: StoredEvent, added: int) -> bool:
        """True if a request to vanish or a purge that came after the change `added` hides the event. It may be followed
        by events of an earlier time, which stay: gift wraps, and what a longer retention lets in again.
        """
        if any(purge.seq > added and purge.hides(event.kind, event.created_at) for purge in self._purged):
            return True
        return any(self._vanished.hides(key, event.created_at, added) for key in owners(event))

    def hides(self, text: Text, position: int) -> bool:
        """True if a request to vanish or a purge after `position` hides the stored `text` of an event of a public kind,
        known before.
        """
        created_at = created_at_of(text)
        return self._vanished.hides(pubkey_of(text), created_at, position) or any(
            purge.seq > position and created_at < purge.before and purge.hides(kind_of(text), created_at)
            for purge in self._purged
        )

"""The newest events of the store in memory, down to a floor.

It holds no private kinds, so it answers only queries that cannot be private. Rule: every event of a copied kind at or
above `floor`, in the order of answers, is here; a filter is answered only if nothing below the floor can belong to the
answer.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import takewhile

from msgspec import Struct

from relay.changes.candidates import candidates, collect, fills_answer, without
from relay.changes.change import Added, Change, Purged, Removed, Vanished
from relay.changes.event_index import EventIndex
from relay.changes.overlay import cut, newest_first
from relay.changes.posting_lists import TooMany
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter
from relay.protocol.messages import End


class InWindow(Struct, frozen=True, gc=False):
    """The answer to a filter, newest first, and what is known of its end. `next`: the id of a match below it."""

    events: Sequence[StoredEvent]
    end: End
    next: str | None = None


_NOTHING = InWindow((), End.FINISH)


class Window:
    """At most `max_bytes` of events. Empty until it is filled downwards from the newest event; knows nothing after
    `position`.
    """

    def __init__(self, max_bytes: int) -> None:
        self.evicted = 0
        self.complete = False
        """True if the store holds no event of a copied kind below the floor."""
        self.floor: tuple[int, str] | None = None
        """Sort key of the oldest known event; None while nothing is known."""
        self.position = -1
        """The last applied change; -1 before the first."""
        self._max_bytes = max_bytes
        self._index = EventIndex()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def bytes(self) -> int:
        """The memory of the events and their indexes."""
        return self._index.bytes

    @property
    def full(self) -> bool:
        """True if hardly any older event would fit."""
        return self.bytes >= 0.8 * self._max_bytes

    def clear(self) -> None:
        """Drop everything."""
        self.complete = False
        self.floor = None
        self.position = -1
        self._index = EventIndex()

    def apply(self, changes: Iterable[Change], position: int) -> None:
        """Apply changes in order, up to `position`. Applying some of them twice does no harm, as later changes follow
        again.
        """
        index = self._index
        fresh: dict[str, StoredEvent] = {}
        for change in changes:
            if type(change) is Added:
                event = change.event
                if self.complete or (self.floor is not None and newest_first(event) <= self.floor):
                    fresh[event.id] = event
            elif type(change) is Removed:
                # It may be in both: `extend` may have added it before its addition came as a change.
                fresh.pop(change.event_id, None)
                index.remove(change.event_id)
            elif type(change) is Vanished:
                fresh = {event.id: event for event in fresh.values() if not change.hides(event)}
                index.remove_all([event for event in index.authors.get(change.pubkey, ()) if change.hides(event)])
            elif type(change) is Purged:
                fresh = {id: event for id, event in fresh.items() if not change.hides(event.kind, event.created_at)}
                index.remove_all(self._purged(change))
        index.insert(fresh.values())
        self.position = position
        if index.bytes > self._max_bytes:
            self._shrink()
        index.forget_names()

    def _purged(self, change: Purged) -> list[StoredEvent]:
        """The events that a purge hides; they are the oldest, first in the list of all."""
        older = takewhile(lambda event: event.created_at < change.before, self._index.all)
        return [event for event in older if change.hides(event.kind, event.created_at)]

    def _shrink(self) -> None:
        """Evict the oldest events, some more than needed, so that it does not happen for each event."""
        index = self._index
        while index.all and index.bytes > self._max_bytes * 0.95:
            # The lists go with the events: about the same part of them.
            self.evicted += index.evict_to(index.entries_bytes * self._max_bytes * 0.95 / index.bytes)
        self.complete = False
        self.floor = newest_first(index.all[0]) if index.all else None

    def extend(self, events: Sequence[StoredEvent], complete: bool, changes: Iterable[Change], position: int) -> None:
        """Add the `events` next below the floor, newest first, and apply the `changes` since they were read, up to
        `position`.

        `complete`: nothing lies below the last one. Above the floor, everything up to `position` must have been
        applied.
        """
        self._index.insert(events)
        if events:
            self.floor = newest_first(events[-1])
        self.complete = complete
        self.apply(changes, position)

    def find(self, flt: Filter, now: int) -> InWindow | None:
        """The answer to `flt` at `now` (Unix seconds), newest first; None if it is not known."""
        if flt.matches_nothing:
            return _NOTHING
        if flt.limit <= 0:
            return InWindow((), End.UNKNOWN)
        if self.floor is None and not self.complete:
            return None
        ids = flt.ids
        if ids is not None:
            return self._by_ids(ids, flt, now)
        read = candidates(self._index, flt)
        if read is None:
            return None
        found: list[StoredEvent] = []
        try:
            whole = collect(read[1], now, read[0], found) or self._knows_down_to(flt.since)
        except TooMany:
            whole = False
        return self._answer(flt, found, whole)

    @staticmethod
    def _answer(flt: Filter, found: list[StoredEvent], whole: bool) -> InWindow | None:
        """`whole`: every match is in `found`, or so many that more are known. None if the answer is not known."""
        kept = cut(found, flt)
        if len(kept) < len(found):
            return InWindow(kept, End.MORE, found[len(kept)].id)
        if whole:
            return InWindow(kept, End.FINISH)
        return InWindow(kept, End.UNKNOWN) if fills_answer(flt, found) else None

    def _knows_down_to(self, since: int | None) -> bool:
        return self.complete or (since is not None and self.floor is not None and since > -self.floor[0])

    def _by_ids(self, ids: Collection[str], flt: Filter, now: int) -> InWindow | None:
        found = [event for event in map(self._index.by_id.get, ids) if event is not None]
        if len(found) < len(ids) and not self._knows_down_to(flt.since):
            return None
        if flt.until is not None:
            found = [event for event in found if event.created_at <= flt.until]
        found.sort(key=newest_first)
        kept: list[StoredEvent] = []
        try:
            collect(without(flt, ids=None), now, [found], kept)
        except TooMany:
            return None
        return self._answer(flt, kept, True)

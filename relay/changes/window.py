"""The newest events of the store in memory, with indexes, in the order of answers.

It holds no private kinds, so it answers only queries that cannot be private. Rule: every event of a copied kind at or
above `floor`, in the order of answers, is here; a filter is answered only if nothing below the floor can belong to the
answer.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import compress, islice, takewhile
from typing import Any

from msgspec import Struct, structs

from relay.changes.change import Added, Change, Purged, Removed, Vanished
from relay.changes.overlay import cut, newest_first
from relay.changes.posting_lists import (
    FEW,
    MAX_GATHERED,
    TooMany,
    insert_all,
    insert_each,
    pieces,
    remove,
    remove_from,
    remove_many,
    remove_oldest,
    spans,
    union,
)
from relay.changes.sizes import LONG_TAGS, event_bytes
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter
from relay.protocol.messages import End
from relay.protocol.visibility import is_copied

ENTRY_BYTES = 70
"""An event's places in the lists, beside the event (`sizes.event_bytes`)."""

PLACE_BYTES = 9
"""An event's place in the list of one tag."""

LIST_BYTES = 130
"""A list by tag or author, and its key."""

MAX_LONG_VALUES = 1_000
"""Tag values of one filter that are looked for in the events without entries by tag: 0.1 ms for each such event."""

MAX_SCAN = 6_000
"""Events that one query may read before it is left to PostgreSQL: about a millisecond."""

SORT_COST = 0.25
"""Cost of reading an event in order, relative to sorting it."""

SAMPLE = 64
"""Authors, or values of a tag, whose events are counted to estimate those of all."""

Tag = tuple[str, frozenset[str]]


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
        self._size = 0
        self._max_bytes = max_bytes
        self._events: dict[str, StoredEvent] = {}
        self._all: list[StoredEvent] = []
        self._all_authors: list[str] = []  # of `_all`, interned: reading it touches no event
        # Separate dictionaries: a tag's letter and value may equal an author.
        self._authors: dict[str, list[StoredEvent]] = {}
        self._names: dict[str, str] = {}
        self._kinds: dict[int, list[StoredEvent]] = {}
        self._tags: dict[str, list[StoredEvent]] = {}
        self._long: list[StoredEvent] = []  # events with more than LONG_TAGS tags, which are not in `_tags`

    def __len__(self) -> int:
        return len(self._events)

    @property
    def bytes(self) -> int:
        """The memory of the events and their indexes."""
        return self._size + LIST_BYTES * (len(self._tags) + len(self._authors))

    @property
    def full(self) -> bool:
        """True if hardly any older event would fit."""
        return self.bytes >= 0.8 * self._max_bytes

    def clear(self) -> None:
        """Drop everything."""
        self._size = 0
        self.complete = False
        self.floor = None
        self.position = -1
        self._events.clear()
        self._all.clear()
        self._all_authors.clear()
        self._authors.clear()
        self._names.clear()
        self._kinds.clear()
        self._tags.clear()
        self._long.clear()

    def apply(self, changes: Iterable[Change], position: int) -> None:
        """Apply changes in order, up to `position`. Applying some of them twice does no harm, as later changes follow
        again.
        """
        fresh: dict[str, StoredEvent] = {}
        for change in changes:
            if type(change) is Added:
                event = change.event
                if self.complete or (self.floor is not None and newest_first(event) <= self.floor):
                    fresh[event.id] = event
            elif type(change) is Removed:
                # It may be in both: `extend` may have added it before its addition came as a change.
                fresh.pop(change.event_id, None)
                self._remove(change.event_id)
            elif type(change) is Vanished:
                fresh = {event.id: event for event in fresh.values() if not change.hides(event)}
                self._remove_all([event for event in self._authors.get(change.pubkey, ()) if change.hides(event)])
            elif type(change) is Purged:
                fresh = {id: event for id, event in fresh.items() if not change.hides(event.kind, event.created_at)}
                self._remove_all(self._purged(change))
        self._insert(fresh.values())
        self.position = position
        if self.bytes > self._max_bytes:
            self._shrink()

    def _purged(self, change: Purged) -> list[StoredEvent]:
        """The events that a purge hides; they are the oldest, first in the list of all."""
        older = takewhile(lambda event: event.created_at < change.before, self._all)
        return [event for event in older if change.hides(event.kind, event.created_at)]

    def extend(self, events: Sequence[StoredEvent], complete: bool, changes: Iterable[Change], position: int) -> None:
        """Add the `events` next below the floor, newest first, and apply the `changes` since they were read, up to
        `position`.

        `complete`: nothing lies below the last one. Above the floor, everything up to `position` must have been
        applied.
        """
        self._insert(events)
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
        if flt.ids is not None:
            return self._by_ids(flt, now)
        candidates = self._candidates(flt)
        if candidates is None:
            return None
        found: list[StoredEvent] = []
        try:
            whole = _collect(candidates[1], now, candidates[0], found) or self._knows_down_to(flt.since)
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
        return InWindow(kept, End.UNKNOWN) if _is_full(flt, found) else None

    def _knows_down_to(self, since: int | None) -> bool:
        return self.complete or (since is not None and self.floor is not None and since > -self.floor[0])

    def _by_ids(self, flt: Filter, now: int) -> InWindow | None:
        events = self._events
        ids = flt.ids or ()
        found = [event for event in map(events.get, ids) if event is not None]
        if len(found) < len(ids) and not self._knows_down_to(flt.since):
            return None
        if flt.until is not None:
            found = [event for event in found if event.created_at <= flt.until]
        found.sort(key=newest_first)
        kept: list[StoredEvent] = []
        _collect(_without(flt, ids=None), now, [found], kept)
        return self._answer(flt, kept, True)

    def _candidates(self, flt: Filter) -> tuple[Iterable[list[StoredEvent]], Filter] | None:
        """Events newest first from `until` on, in pieces, and the conditions left to check; None for too many."""
        until, authors, kinds = flt.until, flt.authors, flt.kinds
        if flt.tags:
            rarest = flt.tags[0] if len(flt.tags) == 1 else self._rarest(flt.tags)
            keys = rarest[1]
            if self._long and len(keys) > MAX_LONG_VALUES:
                return None
            others = [event for event in self._long if not keys.isdisjoint(event.tag_keys)]
            found = union(self._tags, keys, until, MAX_SCAN, others)
            left = _without(flt, tags=tuple([tag for tag in flt.tags if tag is not rarest]))
            return None if found is None else (found, left)
        if authors is not None:
            if len(authors) == 1 or not self._is_frequent(authors, flt.limit):
                found = union(self._authors, authors, until, MAX_SCAN)
                return None if found is None else (found, _without(flt, authors=None))
            return self._by_authors(authors, until), _without(flt, authors=None)
        if kinds is not None and len(kinds) == 1:
            return pieces(self._kinds.get(next(iter(kinds)), []), until, MAX_SCAN), _without(flt, kinds=None)
        return pieces(self._all, until, MAX_SCAN), flt

    def _rarest(self, tags: Iterable[Tag]) -> Tag:
        """The tag on the fewest events: a scan of 6,000 events for an unused value cost 2.4 ms."""
        return min(tags, key=lambda tag: (_events_of(tag[1], self._tags), len(tag[1])))

    def _by_authors(self, authors: Collection[str], until: int | None) -> Iterator[list[StoredEvent]]:
        """The events of `authors` among all, newest first, found in the list of authors without touching the others."""
        everything = self._all
        for begin, end in spans(self._all, until, MAX_SCAN):
            theirs = map(authors.__contains__, self._all_authors[begin:end])
            found = list(compress(range(begin, end), theirs))
            found.reverse()
            yield [everything[at] for at in found]

    def _is_frequent(self, authors: Collection[str], limit: int) -> bool:
        """True if reading all events until `limit` are found is cheaper than sorting those of the authors."""
        theirs = _events_of(authors, self._authors)
        return theirs > MAX_GATHERED or theirs * theirs > SORT_COST * limit * len(self._all)

    def _insert(self, events: Iterable[StoredEvent]) -> None:
        known = self._events
        fresh = [event for event in events if event.id not in known and is_copied(event.kind)]
        authors: dict[str, list[StoredEvent]] = {}
        kinds: dict[int, list[StoredEvent]] = {}
        tags: dict[str, list[StoredEvent]] = {}
        for event in fresh:
            known[event.id] = event
            self._size += _entry_bytes(event)
            authors.setdefault(event.pubkey, []).append(event)
            kinds.setdefault(event.kind, []).append(event)
            if len(event.tag_keys) > LONG_TAGS:
                insert_all(self._long, [event])
                continue
            for key in event.tag_keys:
                tags.setdefault(key, []).append(event)
        insert_each(self._authors, authors)
        insert_all(self._all, fresh, self._all_authors, self._names)
        insert_each(self._kinds, kinds)
        insert_each(self._tags, tags)

    def _remove(self, event_id: str) -> None:
        event = self._events.pop(event_id, None)
        if event is None:
            return
        self._size -= _entry_bytes(event)
        del self._all_authors[remove(self._all, event)]
        remove_from(self._authors, event.pubkey, event)
        remove_from(self._kinds, event.kind, event)
        if len(event.tag_keys) > LONG_TAGS:
            remove(self._long, event)
            return
        for key in event.tag_keys:
            remove_from(self._tags, key, event)

    def _remove_all(self, events: Sequence[StoredEvent]) -> None:
        """Remove events of the window; many in one pass over each list that holds some of them."""
        if len(events) <= FEW:
            for event in events:
                self._remove(event.id)
            return
        gone = {event.id for event in events}
        for event in events:
            del self._events[event.id]
            self._size -= _entry_bytes(event)
        kept = [event.id not in gone for event in self._all]
        self._all = list(compress(self._all, kept))
        self._all_authors = list(compress(self._all_authors, kept))
        remove_many(self._authors, {event.pubkey for event in events}, gone)
        remove_many(self._kinds, {event.kind for event in events}, gone)
        self._long = [event for event in self._long if event.id not in gone]
        short = [event for event in events if len(event.tag_keys) <= LONG_TAGS]
        remove_many(self._tags, {key for event in short for key in event.tag_keys}, gone)

    def _shrink(self) -> None:
        """Evict the oldest events, some more than needed, so that it does not happen for each event."""
        while self._all and self.bytes > self._max_bytes * 0.95:
            # The lists go with the events: about the same part of them.
            self._evict_to(self._size * self._max_bytes * 0.95 / self.bytes)
        if len(self._names) > 2 * len(self._authors) + 1_000:
            self._names = {name: self._names[name] for name in self._authors}
        self.complete = False
        self.floor = newest_first(self._all[0]) if self._all else None

    def _evict_to(self, size: float) -> None:
        """Evict the oldest events, one at least, until `_size` is `size` or less."""
        count = 0
        for event in self._all:
            self._size -= _entry_bytes(event)
            count += 1
            if self._size <= size:
                break
        gone = self._all[:count]
        del self._all[:count]
        del self._all_authors[:count]
        for event in gone:
            del self._events[event.id]
        remove_oldest(self._authors, Counter([event.pubkey for event in gone]))
        remove_oldest(self._kinds, Counter([event.kind for event in gone]))
        short = [event for event in gone if len(event.tag_keys) <= LONG_TAGS]
        remove_oldest(self._tags, Counter([key for event in short for key in event.tag_keys]))
        del self._long[: len(gone) - len(short)]
        self.evicted += count


def _entry_bytes(event: StoredEvent) -> int:
    return ENTRY_BYTES + event_bytes(event) + PLACE_BYTES * len(event.tag_keys)


def _events_of(keys: Collection[str], lists: Mapping[str, Collection[StoredEvent]]) -> int:
    """The events in the lists of `keys`, estimated from a sample of them."""
    sample = list(islice(keys, SAMPLE))
    return sum([len(found) for found in map(lists.get, sample) if found is not None]) * len(keys) // len(sample)


def _without(flt: Filter, **changes: Any) -> Filter:
    return structs.replace(flt, **changes)


def _collect(flt: Filter, now: int, candidates: Iterable[list[StoredEvent]], found: list[StoredEvent]) -> bool:
    """Put matching events into `found` until the answer is full and one more is known; True if no later candidate
    matters (01-F18, 67-1).

    Candidates begin at `until`. A comprehension for each condition: one loop with all of them costs three times as
    much.
    """
    authors, kinds, since = flt.authors, flt.kinds, flt.since
    wanted = flt.limit
    for piece in candidates:
        rows = piece if since is None else [event for event in piece if event.created_at >= since]
        if authors is not None:
            rows = [event for event in rows if event.pubkey in authors]
        if kinds is not None:
            rows = [event for event in rows if event.kind in kinds]
        for _, keys in flt.tags:
            rows = [event for event in rows if not keys.isdisjoint(event.tag_keys)]
        found += [event for event in rows if event.expires_at is None or event.expires_at > now]
        if len(found) > wanted and (
            not flt.capped or len(found) > 2 * wanted or found[-1].created_at != found[wanted - 1].created_at
        ):
            return True
        if since is not None and piece and piece[-1].created_at < since:
            return True
    return False


def _is_full(flt: Filter, found: Sequence[StoredEvent]) -> bool:
    """True if `found`, which are the newest matches, are the whole answer, whatever lies below them."""
    wanted = flt.limit
    return len(found) >= wanted and (
        not flt.capped or len(found) >= 2 * wanted or found[-1].created_at != found[wanted - 1].created_at
    )

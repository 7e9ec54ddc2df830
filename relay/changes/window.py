"""The newest events of the whole store in memory, indexed, always as the order has them.

Rule: every event that may be served and stands at or above `floor` in the order of answers is here; a filter is
answered only when nothing below the floor could belong to the answer, otherwise not at all.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter

from relay.changes.change import Added, Change
from relay.changes.overlay import newest_first
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter
from relay.protocol.visibility import NEVER_SERVED_KINDS

ENTRY_OVERHEAD_BYTES = 1_400
"""What an event costs beside its JSON text: the object, its tag keys, and five places; measured on CPython 3.11."""

MAX_PENDING = 4_096
"""Changes that wait for the next question; more are worked in at once."""

MAX_SCAN = 6_000
"""Events that one question looks at before it is left to PostgreSQL: about a millisecond."""

MAX_GATHERED = 1_500
"""Events of several places that are sorted for one answer."""

_created_at = attrgetter("created_at")


class Window:
    """Holds at most `max_bytes`. It knows nothing until it was opened and filled from above."""

    def __init__(self, max_bytes: int) -> None:
        self.bytes = 0
        self.evicted = 0
        self.complete = False
        """True when the store holds nothing below the floor."""
        self.floor: tuple[int, str] | None = None
        """The place of the last event that is known; None before the first, when nothing is known."""
        self._max_bytes = max_bytes
        self._pending: list[Change] = []
        self._events: dict[str, StoredEvent] = {}
        self._all: list[StoredEvent] = []
        self._places: dict[str | int, list[StoredEvent]] = {}

    def __len__(self) -> int:
        return len(self._events)

    @property
    def full(self) -> bool:
        """True when few older events would find room."""
        return self.bytes >= 0.8 * self._max_bytes

    def clear(self) -> None:
        """Know nothing, as at the beginning."""
        self.bytes = 0
        self.complete = False
        self.floor = None
        self._pending.clear()
        self._events.clear()
        self._all.clear()
        self._places.clear()

    def apply(self, changes: Iterable[Change]) -> None:
        """Take changes in, in their order. They are worked in when somebody asks, or when many wait."""
        self._pending += changes
        if len(self._pending) > MAX_PENDING:
            self.settle()

    def extend(self, events: Sequence[StoredEvent], complete: bool, changes: Iterable[Change]) -> None:
        """Take in what lies next below the floor, newest first, and the `changes` that came since it was read.

        `complete` is True when nothing lies below the last one.
        """
        self.settle()
        for event in events:
            self._insert(event)
        if events:
            self.floor = newest_first(events[-1])
        self.complete = complete
        self._work_in(changes)

    def settle(self) -> None:
        """Work in what waits."""
        if self._pending:
            pending, self._pending = self._pending, []
            self._work_in(pending)

    def _work_in(self, changes: Iterable[Change]) -> None:
        """To work in a change twice does no harm: what came later comes again as well."""
        for change in changes:
            if type(change) is Added:
                if self.complete or (self.floor is not None and newest_first(change.event) <= self.floor):
                    self._insert(change.event)
            else:
                self._remove(change.event_id)  # type: ignore[union-attr]
        if self.bytes > self._max_bytes:
            self._shrink()

    def event(self, event_id: str) -> StoredEvent | None:
        """An event that is here; None says nothing about those below the floor."""
        self.settle()
        return self._events.get(event_id)

    def find(self, flt: Filter, now: int) -> list[StoredEvent] | None:
        """What answers `flt` at `now` (Unix seconds), newest first; None if that is not known here."""
        self.settle()
        if flt.limit <= 0 or flt.matches_nothing:
            return []
        if self.floor is None and not self.complete:
            return None
        if flt.ids is not None:
            return self._by_ids(flt, now)
        candidates = self._candidates(flt)
        if candidates is None:
            return None
        found: list[StoredEvent] = []
        try:
            whole = self._collect(flt, now, candidates, found)
        except TooMany:
            return None
        return found if whole or self._knows_down_to(flt.since) else None

    def _knows_down_to(self, since: int | None) -> bool:
        return self.complete or (since is not None and self.floor is not None and since > -self.floor[0])

    def _by_ids(self, flt: Filter, now: int) -> list[StoredEvent] | None:
        events = self._events
        ids = flt.ids or ()
        found = [event for event in map(events.get, ids) if event is not None]
        if len(found) < len(ids) and not self._knows_down_to(flt.since):
            return None
        found.sort(key=newest_first)
        kept: list[StoredEvent] = []
        self._collect(flt, now, found, kept)
        return kept

    def _collect(self, flt: Filter, now: int, candidates: Iterable[StoredEvent], found: list[StoredEvent]) -> bool:
        """Put what belongs to the answer into `found`; True if nothing further down can belong to it (01-F18)."""
        authors, kinds, limit = flt.authors, flt.kinds, flt.limit
        exact = flt.matches if flt.tags or flt.ids is not None or flt.since is not None else None
        boundary = -1
        for event in candidates:
            if authors is not None and event.pubkey not in authors:
                continue
            if kinds is not None and event.kind not in kinds:
                continue
            if exact is not None and not exact(event):
                if flt.since is not None and event.created_at < flt.since:
                    return True
                continue
            if event.expires_at is not None and event.expires_at <= now:
                continue
            if len(found) >= limit and (event.created_at != boundary or len(found) >= 2 * limit):
                return True
            found.append(event)
            if len(found) == limit:
                if not flt.capped:
                    return True
                boundary = event.created_at
        return len(found) >= 2 * limit

    def _candidates(self, flt: Filter) -> Iterator[StoredEvent] | list[StoredEvent] | None:
        """All events that may match, newest first from `until` on; None when they are too many to look at."""
        until = flt.until
        if flt.tags:
            return self._of(min((keys for _, keys in flt.tags), key=len), until)
        authors = flt.authors
        if authors is not None:
            gathered = self._of(authors, until)
            return gathered if gathered is not None else _newest(self._all, until, MAX_SCAN)
        if flt.kinds is not None and len(flt.kinds) == 1:
            return _newest(self._places.get(next(iter(flt.kinds)), []), until)
        return _newest(self._all, until, MAX_SCAN)

    def _of(self, keys: Collection[str], until: int | None) -> Iterator[StoredEvent] | list[StoredEvent] | None:
        """The events of some places together, newest first; None when they are more than can be sorted at once."""
        places = [place for place in map(self._places.get, keys) if place is not None]
        if len(places) < 2:
            return _newest(places[0], until) if places else []
        if sum(map(len, places)) > MAX_GATHERED:
            return None
        unique = {event.id: event for place in places for event in place if until is None or event.created_at <= until}
        return sorted(unique.values(), key=newest_first)

    def _insert(self, event: StoredEvent) -> None:
        if event.id in self._events or event.kind in NEVER_SERVED_KINDS:
            return
        self._events[event.id] = event
        self.bytes += ENTRY_OVERHEAD_BYTES + len(event.json)
        _put(self._all, event)
        places = self._places
        for key in _keys(event):
            place = places.get(key)
            if place is None:
                places[key] = [event]
            else:
                _put(place, event)

    def _remove(self, event_id: str) -> None:
        event = self._events.pop(event_id, None)
        if event is None:
            return
        self.bytes -= ENTRY_OVERHEAD_BYTES + len(event.json)
        _take(self._all, event)
        for key in _keys(event):
            place = self._places[key]
            _take(place, event)
            if not place:
                del self._places[key]

    def _shrink(self) -> None:
        """Let the oldest go, some more than needed, so that it is not done for each event."""
        count = 0
        for event in self._all:
            if self.bytes <= self._max_bytes * 0.95:
                break
            self.bytes -= ENTRY_OVERHEAD_BYTES + len(event.json)
            count += 1
        gone = Counter[str | int]()
        for event in self._all[:count]:
            del self._events[event.id]
            gone.update(_keys(event))
        del self._all[:count]
        for key, number in gone.items():  # each place has its oldest first, as the whole has
            place = self._places[key]
            if len(place) == number:
                del self._places[key]
            else:
                del place[:number]
        self.evicted += count
        self.complete = False
        self.floor = newest_first(self._all[0]) if self._all else None


def _keys(event: StoredEvent) -> tuple[str | int, ...]:
    """The places of an event: its author, its kind, its tags."""
    return event.pubkey, event.kind, *event.tag_keys


class TooMany(LookupError):
    """More events would have to be looked at than one question may."""


def _newest(place: list[StoredEvent], until: int | None, most: int | None = None) -> Iterator[StoredEvent]:
    """The events of a place from `until` on, newest first; with `most`, TooMany is raised in place of one more."""
    begin = len(place) if until is None else bisect_right(place, until, key=_created_at)
    walk = map(place.__getitem__, range(begin - 1, -1, -1))
    return walk if most is None else _up_to(walk, most)


def _up_to(walk: Iterator[StoredEvent], most: int) -> Iterator[StoredEvent]:
    yield from islice(walk, most)
    if next(walk, None) is not None:
        raise TooMany


def _put(place: list[StoredEvent], event: StoredEvent) -> None:
    """Oldest first; of one second the highest id first: the order of answers backwards."""
    second = event.created_at
    if not place or place[-1].created_at < second:
        place.append(event)
        return
    at = bisect_right(place, second, key=_created_at)
    while at and place[at - 1].created_at == second and place[at - 1].id < event.id:
        at -= 1
    place.insert(at, event)


def _take(place: list[StoredEvent], event: StoredEvent) -> None:
    at = bisect_left(place, event.created_at, key=_created_at)
    while place[at].id != event.id:
        at += 1
    del place[at]

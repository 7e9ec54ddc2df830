"""An inverted index of open filters: which subscriptions may match an event?

Rule: each filter is registered under one field, so an event meets only filters that share a value with it, have its
kind, and may match its time. The index may name too many subscriptions, never too few; `Filter.matches` decides.

Under a value stand the sets of values that have it (`postings`). Adding and removing take the same time for any number
of values: those of a large set are entered and taken out in pieces, by `enter_some` and `remove_some`.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from time import time
from typing import Generic

from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter, kinds_key
from relay.subscriptions.postings import Place, Posting, T, Values

Value = str | int

PIECE_VALUES = 1_000
"""Values that are entered or removed in one piece: 0.3 ms."""
CANDIDATES = 500
"""Candidates that are looked for at a time."""
MANY_HITS = 16
"""Of an event with more tags in the index each set is looked at once: 170 sets of the same 10,000 values, and an event
with all of them, were 1.7 million looks.
"""
SMALL = 8
"""Of a set with so many values each is looked at, to find a field with few filters; of a larger one the first."""
CROWDED = 64
"""Another field is chosen for a filter when so many others stand under a value of the usual one."""
MAX_KINDS = 16
"""A filter with more kinds stands under any kind."""

_ANY = -1
_EVERYTHING: Values = frozenset(["*"])

Hit = Posting[T] | dict[Posting[T], None]
"""What stands under a value."""


def fields_of(flt: Filter) -> list[tuple[str, Values]]:
    """The fields that a filter may be registered under, the one first that is most selective as a rule."""
    fields: list[tuple[str, Values]] = []
    if flt.ids is not None:
        fields.append(("i", flt.ids))
    if flt.tags:
        fields += [("t", keys) for _, keys in sorted(flt.tags, key=lambda tag: len(tag[1]))]
    if flt.authors is not None:
        fields.append(("a", flt.authors))
    if not fields:
        fields.append(("k", flt.kinds) if flt.kinds is not None else ("*", _EVERYTHING))
    return fields


def _key(field: str, values: Values) -> tuple[str, Values | bytes]:
    """What a posting is found by."""
    return field, kinds_key(values) if field == "k" else values  # type: ignore[arg-type]


class FilterIndex(Generic[T]):
    """Maps events to the owners of filters that may match them."""

    def __init__(self) -> None:
        self._postings: dict[tuple[str, Values | bytes], Posting[T]] = {}
        self._tables: dict[str, dict[Value, Hit[T]]] = {field: {} for field in ("*", "k", "a", "i", "t")}
        self._by_field = tuple(self._tables.values())
        self._places: dict[T, list[Place[T]]] = {}
        self._numbers = 0
        self._entering: deque[tuple[Posting[T], Iterator[Value]]] = deque()
        self._removing: deque[tuple[Posting[T], Iterator[Value]]] = deque()

    def __len__(self) -> int:
        """The number of values in the index."""
        return sum(map(len, self._tables.values()))

    @property
    def is_entering(self) -> bool:
        """True while values of added filters are missing: `enter_some` must be called before `candidates`."""
        return bool(self._entering)

    @property
    def is_removing(self) -> bool:
        """True while values of removed filters are left, which cost memory alone."""
        return bool(self._removing)

    def add(self, owner: T, filters: Sequence[Filter]) -> None:
        """Register an owner, which is not registered yet."""
        now = int(time())
        self._places[owner] = [self._put(owner, flt, now) for flt in filters if not flt.matches_nothing]

    def _put(self, owner: T, flt: Filter, now: int) -> Place[T]:
        field, values = self._field(flt)
        key = _key(field, values)
        posting = self._postings.get(key)
        if posting is None:
            posting = self._postings[key] = Posting(field, values)
            if len(values) <= SMALL:
                self._enter(posting, values)
            else:
                self._entering.append((posting, iter(values)))
        posting.size += 1
        self._numbers += 1
        by_kind = field != "k" and flt.kinds is not None and len(flt.kinds) <= MAX_KINDS
        place = Place(posting, flt.kinds if by_kind and flt.kinds is not None else (_ANY,), self._numbers)
        if flt.until is not None and flt.until < now:
            place.until = flt.until
        elif flt.since is not None and flt.since > now:
            place.since = flt.since
        if posting.size == 1 and place.is_current:
            posting.only, posting.place = owner, place
            return place
        if posting.only is not None and posting.place is not None:
            posting.place.enter(posting.only)
            posting.only = posting.place = None
        place.enter(owner)
        return place

    def _field(self, flt: Filter) -> tuple[str, Values]:
        fields = fields_of(flt)
        return fields[0] if len(fields) == 1 else min(fields, key=lambda field: self._crowd(*field))

    def _crowd(self, field: str, values: Values) -> int:
        """How many filters stand under one of the values, about, in units of CROWDED."""
        table, most = self._tables[field], 0
        some: Iterator[Value] = islice(values, SMALL)
        for value in some:
            hit = table.get(value)
            if hit is not None:
                first = [hit] if type(hit) is Posting else list(islice(hit, SMALL))  # type: ignore[arg-type]
                size = sum([each.size for each in first]) + (len(hit) if type(hit) is dict else 0)
                most = max(most, size)
        return most // CROWDED

    def remove(self, owner: T) -> None:
        """Remove an owner; no error if it is not registered."""
        for place in self._places.pop(owner, ()):
            posting = place.posting
            if posting.place is place:
                posting.only = posting.place = None
            else:
                place.leave(owner)
            posting.size -= 1
            if not posting.size:
                del self._postings[_key(posting.field, posting.values)]
                if len(posting.values) <= SMALL:
                    self._leave(posting, posting.values)
                else:
                    self._removing.append((posting, iter(posting.values)))

    def enter_some(self) -> None:
        """Enter the next PIECE_VALUES values of added filters."""
        posting, values = self._entering[0]
        piece = list(islice(values, PIECE_VALUES))
        self._enter(posting, piece)
        if len(piece) < PIECE_VALUES:
            self._entering.popleft()

    def remove_some(self) -> None:
        """Take out the next PIECE_VALUES values of removed filters; those being entered must have been."""
        posting, values = self._removing[0]
        piece = list(islice(values, PIECE_VALUES))
        self._leave(posting, piece)
        if len(piece) < PIECE_VALUES:
            self._removing.popleft()

    def _enter(self, posting: Posting[T], values: Iterable[Value]) -> None:
        table = self._tables[posting.field]
        for value in values:
            hit = table.setdefault(value, posting)
            if hit is posting:
                continue
            if type(hit) is dict:
                hit[posting] = None
            else:
                table[value] = {hit: None, posting: None}  # type: ignore[dict-item]

    def _leave(self, posting: Posting[T], values: Iterable[Value]) -> None:
        table = self._tables[posting.field]
        for value in values:
            hit = table[value]
            if hit is posting:
                del table[value]
                continue
            assert type(hit) is dict
            del hit[posting]
            if not hit:
                del table[value]

    def candidates(self, event: StoredEvent) -> Iterable[Sequence[T]]:
        """The owners whose filters may match, each once, about CANDIDATES at a time; none after as many look-ups.

        Owners may be added and removed in between; those added need not be named.
        """
        hits = self._hits(event)
        if len(hits) == 1 and (type(hits[0]) is Posting or len(hits[0]) <= CANDIDATES):  # type: ignore[arg-type]
            # The common case, in one step: feeds with an author in common, most of them of one filter each.
            (hit,) = hits
            postings: Iterable[Posting[T]] = (hit,) if type(hit) is Posting else hit  # type: ignore[assignment]
            found = [posting.only for posting in postings if posting.only is not None]
            if len(found) == (1 if type(hit) is Posting else len(hit)):  # type: ignore[arg-type]
                return (list(dict.fromkeys(found)) if len(found) > 1 else found,)
        return self._pieces(hits, event) if hits else ()

    def _pieces(self, hits: Sequence["Hit[T]"], event: StoredEvent) -> Iterator[Sequence[T]]:
        found: list[T] = []
        visited, sources = 0, 0
        seen: dict[T, None] | None = None
        met: set[Posting[T]] | None = set() if len(hits) > MANY_HITS else None
        kind, created_at = event.kind, event.created_at
        for hit in hits:
            postings: Sequence[Posting[T]] = (hit,) if type(hit) is Posting else list(hit)  # type: ignore[arg-type]
            if met is not None:
                visited += len(postings)
                postings = [posting for posting in postings if posting not in met]
                met.update(postings)
                if visited > CANDIDATES:
                    yield ()
                    visited = 0
            for posting in postings:
                visited += 1
                only = posting.only
                if only is not None:
                    sources += 1
                    found.append(only)
                else:
                    kinds = posting.kinds
                    if kind in kinds:
                        sources += 1
                        owners = kinds[kind]
                        found += owners.current if owners.later is owners.ended else owners.at(created_at)
                    if _ANY in kinds:
                        sources += 1
                        owners = kinds[_ANY]
                        found += owners.current if owners.later is owners.ended else owners.at(created_at)
                if len(found) > CANDIDATES or visited > CANDIDATES:
                    seen = {} if seen is None else seen
                    fresh = [owner for owner in dict.fromkeys(found) if owner not in seen]
                    seen.update(dict.fromkeys(fresh))
                    yield fresh
                    found, visited = [], 0
        if seen:
            yield [owner for owner in dict.fromkeys(found) if owner not in seen]
        elif sources > 1 and len(found) > 1:
            yield list(dict.fromkeys(found))
        elif found:
            yield found

    def _hits(self, event: StoredEvent) -> list["Hit[T]"]:
        """What stands under the values of an event."""
        every, kinds, authors, ids, tags = self._by_field
        hits = [every.get("*"), kinds.get(event.kind), authors.get(event.pubkey), ids.get(event.id)]
        if tags:
            hits += map(tags.get, event.tag_keys)
        return [hit for hit in hits if hit is not None]

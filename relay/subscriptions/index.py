"""An inverted index of open filters: which subscriptions could an event concern?

Rule: each filter is registered under its most selective field, so an event meets only the filters that share
a value with it. The index may name too many subscriptions, never too few; `Filter.matches` decides.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter

T = TypeVar("T", bound=Hashable)

_EVERYTHING = "*"


def index_keys(flt: Filter) -> Iterable[str]:
    """The places under which a filter stands:
    one for each value of its most selective field, none if it matches nothing.
    """
    if flt.matches_nothing:
        return ()
    if flt.ids is not None:
        return ["i" + event_id for event_id in flt.ids]
    if flt.tags:
        _, keys = min(flt.tags, key=lambda tag: len(tag[1]))
        return ["t" + key for key in keys]
    if flt.authors is not None:
        return ["a" + author for author in flt.authors]
    if flt.kinds is not None:
        return [f"k{kind}" for kind in flt.kinds]
    return (_EVERYTHING,)


class FilterIndex(Generic[T]):
    """Maps events to the owners of filters that may match them."""

    def __init__(self) -> None:
        self._places: dict[str, dict[T, None]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, owner: T, filters: Sequence[Filter]) -> None:
        """Register an owner;
        one that is registered already must be removed first, with the filters it was added with.
        """
        places = self._places
        for flt in filters:
            for key in index_keys(flt):
                place = places.get(key)
                if place is None:
                    places[key] = {owner: None}
                else:
                    place[owner] = None

    def remove(self, owner: T, filters: Sequence[Filter]) -> None:
        """Take an owner out again; `filters` are those it was added with."""
        places = self._places
        for flt in filters:
            for key in index_keys(flt):
                place = places.get(key)
                if place is not None:
                    place.pop(owner, None)
                    if not place:
                        del places[key]

    def candidates(self, event: StoredEvent) -> Iterable[T]:
        """The owners whose filters may match, each once; any of them may be removed while the result is visited."""
        get = self._places.get
        found = [place for place in map(get, _event_keys(event)) if place is not None]
        if len(found) < 2:
            # A copy: a client that is cut off during the delivery takes its subscriptions out at once.
            return list(found[0]) if found else ()
        return dict.fromkeys(owner for place in found for owner in place)


def _event_keys(event: StoredEvent) -> Iterator[str]:
    yield _EVERYTHING
    yield f"k{event.kind}"
    yield "a" + event.pubkey
    yield "i" + event.id
    for key in event.tag_keys:
        yield "t" + key

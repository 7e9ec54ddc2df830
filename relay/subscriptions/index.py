"""An inverted index of open filters: which subscriptions may match an event?

Rule: each filter is registered under its most selective field, so an event meets only filters that share a value with
it. The index may name too many subscriptions, never too few; `Filter.matches` decides.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter

T = TypeVar("T", bound=Hashable)

_EVERYTHING = "*"


def index_keys(flt: Filter) -> Iterable[str]:
    """The keys of a filter: one for each value of its most selective field, none if it matches nothing."""
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
        self._owners: dict[str, dict[T, None]] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def add(self, owner: T, filters: Sequence[Filter]) -> None:
        """Register an owner. To change its filters, remove it first."""
        index = self._owners
        for flt in filters:
            for key in index_keys(flt):
                owners = index.get(key)
                if owners is None:
                    index[key] = {owner: None}
                else:
                    owners[owner] = None

    def remove(self, owner: T, filters: Sequence[Filter]) -> None:
        """Remove an owner; `filters` are those that it was added with."""
        index = self._owners
        for flt in filters:
            for key in index_keys(flt):
                owners = index.get(key)
                if owners is not None:
                    owners.pop(owner, None)
                    if not owners:
                        del index[key]

    def candidates(self, event: StoredEvent) -> Iterable[T]:
        """The owners whose filters may match, each once; owners may be removed during the iteration."""
        get = self._owners.get
        found = [owners for owners in map(get, _event_keys(event)) if owners is not None]
        if len(found) < 2:
            # A copy: a client that is cut off during the delivery removes its subscriptions at once.
            return list(found[0]) if found else ()
        return dict.fromkeys(owner for owners in found for owner in owners)


def _event_keys(event: StoredEvent) -> Iterator[str]:
    yield _EVERYTHING
    yield f"k{event.kind}"
    yield "a" + event.pubkey
    yield "i" + event.id
    for key in event.tag_keys:
        yield "t" + key

"""Places of a window: the events that share an author, a kind or a tag, or all of them, each a plain list.

Rule: a place has the oldest first, of one second the highest id: the order of answers backwards, so that what is new is
appended. What is looked at is handed out the other way round, in the order of answers.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from operator import attrgetter
from typing import TypeVar

from relay.changes.overlay import newest_first
from relay.protocol.event import StoredEvent

FIRST_PIECE = 128
"""Events of the first piece of a place that is looked at; each next one is twice as long."""

FEW = 32
"""So few events are put into a place one by one: each moves pointers, while many in one pass touch every event that
stands after the first of them, which costs some thirty times as much."""

MAX_GATHERED = 1_500
"""Events of several places that are sorted for one answer."""

Place = list[StoredEvent]
K = TypeVar("K")
T = TypeVar("T")
_created_at = attrgetter("created_at")


class TooMany(LookupError):
    """More events would have to be looked at than one question may."""


def pieces(place: Place, until: int | None, most: int) -> Iterator[Place]:
    """The events of a place from `until` on, newest first, in growing pieces; TooMany in place of more than `most`."""
    for begin, end in spans(place, until, most):
        yield place[begin:end][::-1]


def spans(place: Place, until: int | None, most: int) -> Iterator[tuple[int, int]]:
    """Where those pieces begin and end."""
    end = len(place) if until is None else bisect_right(place, until, key=_created_at)
    least = max(0, end - most)
    size = FIRST_PIECE
    while end > least:
        begin = max(least, end - size)
        yield begin, end
        end, size = begin, size * 2
    if end:
        raise TooMany


def together(places: dict[str, Place], keys: Collection[str], until: int | None, most: int) -> Iterable[Place] | None:
    """The events of some places, newest first, at most `most` of a single one; None for too many to sort."""
    found = [place for place in map(places.get, keys) if place is not None]
    if len(found) < 2:
        return pieces(found[0], until, most) if found else ()
    if sum(map(len, found)) > MAX_GATHERED:
        return None
    unique = {event.id: event for place in found for event in place if until is None or event.created_at <= until}
    return [sorted(unique.values(), key=newest_first)]


def put_each(places: dict[K, Place], fresh: dict[K, Place]) -> None:
    """Put the events of each key into its place, which is made if there is none."""
    for key, events in fresh.items():
        place = places.get(key)
        if place is None:
            events.sort(key=newest_first, reverse=True)
            places[key] = events
        else:
            put_all(place, events)


def take_from(places: dict[K, Place], key: K, event: StoredEvent) -> None:
    """Take an event out of a place, which goes with its last one."""
    place = places[key]
    take(place, event)
    if not place:
        del places[key]


def cut_off(places: dict[K, Place], numbers: Counter[K]) -> None:
    """Take so many of the oldest from each place: those of the whole are those of each."""
    for key, number in numbers.items():
        place = places[key]
        if len(place) == number:
            del places[key]
        else:
            del place[:number]


def put_all(
    place: Place,
    events: Place,
    beside: list[str] | None = None,
    names: dict[str, str] | None = None,
) -> None:
    """Put events where they belong; many in one pass, because each single one moves all that stand behind it.

    `beside` gets the author of each at the same place, the one object for each that `names` has.
    """
    if len(events) <= FEW:
        for event in events:
            at = _position(place, event, 0)
            place.insert(at, event)
            if beside is not None and names is not None:
                beside.insert(at, names.setdefault(event.pubkey, event.pubkey))
        return
    ordered = sorted(events, key=newest_first, reverse=True)
    ends, begin = [], 0
    for event in ordered:
        begin = _position(place, event, begin)
        ends.append(begin)
    _weave(place, ends, ordered)
    if beside is not None and names is not None:
        _weave(beside, ends, [names.setdefault(event.pubkey, event.pubkey) for event in ordered])


def _weave(into: list[T], ends: list[int], values: list[T]) -> None:
    """Put each value before the element at its end, both in order; what stands before the first stays untouched."""
    woven: list[T] = []
    first = begin = ends[0]
    for end, value in zip(ends, values, strict=True):
        woven += into[begin:end]
        woven.append(value)
        begin = end
    woven += into[begin:]
    into[first:] = woven


def _position(place: Place, event: StoredEvent, begin: int) -> int:
    second = event.created_at
    if not place or place[-1].created_at < second:
        return len(place)
    at = bisect_right(place, second, begin, key=_created_at)
    while at and place[at - 1].created_at == second and place[at - 1].id < event.id:
        at -= 1
    return at


def take(place: Place, event: StoredEvent) -> int:
    """Take an event out; returns where it was."""
    at = bisect_left(place, event.created_at, key=_created_at)
    while place[at].id != event.id:
        at += 1
    del place[at]
    return at

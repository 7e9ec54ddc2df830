"""Posting lists of a window: the events that share an author, a kind or a tag, or all events, as plain lists.

Rule: a list is sorted oldest first, events of the same second by id descending. That is the order of answers reversed,
so that a new event is appended. Reading functions return the order of answers (newest first).
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from operator import attrgetter
from typing import TypeVar

from relay.changes.overlay import newest_first
from relay.protocol.event import StoredEvent

FIRST_PIECE = 128
"""Events in the first piece that is read; each next piece is twice as long."""

FEW = 32
"""Up to this many events are inserted one by one, which only moves pointers. More are merged in one pass, which touches
every event after the first insertion: some thirty times as much for each event touched."""

MAX_GATHERED = 1_500
"""Most events of several lists that are sorted for one answer."""

PostingList = list[StoredEvent]
NONE: PostingList = []
K = TypeVar("K")
T = TypeVar("T")
_created_at = attrgetter("created_at")


class TooMany(LookupError):
    """The answer needs more events than one query may read."""


def pieces(postings: PostingList, until: int | None, most: int) -> Iterator[PostingList]:
    """The events up to `until` (Unix seconds), newest first, in growing pieces. Raises TooMany after `most` events."""
    for begin, end in spans(postings, until, most):
        yield postings[begin:end][::-1]


def spans(postings: PostingList, until: int | None, most: int) -> Iterator[tuple[int, int]]:
    """The bounds of these pieces as slices of the list. Raises TooMany like `pieces`."""
    end = len(postings) if until is None else bisect_right(postings, until, key=_created_at)
    least = max(0, end - most)
    size = FIRST_PIECE
    while end > least:
        begin = max(least, end - size)
        yield begin, end
        end, size = begin, size * 2
    if end:
        raise TooMany


def union(
    lists: dict[str, PostingList], keys: Collection[str], until: int | None, most: int, others: PostingList = NONE
) -> Iterable[PostingList] | None:
    """The union of some lists and `others`, newest first; None for too many to sort. `most`: see `pieces`, for a single
    list.
    """
    found = [postings for postings in map(lists.get, keys) if postings is not None]
    if others:
        found.append(others)
    if len(found) < 2:
        return pieces(found[0], until, most) if found else ()
    if sum(map(len, found)) > MAX_GATHERED:
        return None
    unique = {event.id: event for postings in found for event in postings if until is None or event.created_at <= until}
    return [sorted(unique.values(), key=newest_first)]


def insert_each(lists: dict[K, PostingList], fresh: dict[K, PostingList]) -> None:
    """Insert the events of each key into its list; missing lists are created."""
    for key, events in fresh.items():
        postings = lists.get(key)
        if postings is None:
            events.sort(key=newest_first, reverse=True)
            lists[key] = events
        else:
            insert_all(postings, events)


def remove_from(lists: dict[K, PostingList], key: K, event: StoredEvent) -> None:
    """Remove an event from the list of `key`; an empty list is removed too."""
    postings = lists[key]
    remove(postings, event)
    if not postings:
        del lists[key]


def remove_many(lists: dict[K, PostingList], keys: Iterable[K], gone: Collection[str]) -> None:
    """Remove the events whose ids are in `gone` from the lists of `keys`, in one pass over each list."""
    for key in keys:
        left = [event for event in lists[key] if event.id not in gone]
        if left:
            lists[key] = left
        else:
            del lists[key]


def remove_oldest(lists: dict[K, PostingList], numbers: Counter[K]) -> None:
    """Remove the `numbers[key]` oldest events of each list."""
    for key, number in numbers.items():
        postings = lists[key]
        if len(postings) == number:
            del lists[key]
        else:
            del postings[:number]


def insert_all(
    postings: PostingList,
    events: PostingList,
    authors: list[str] | None = None,
    names: dict[str, str] | None = None,
) -> None:
    """Insert events at their positions. `authors`, if given, is a parallel list that gets the author of each event;
    `names` interns them, so that each author is one string object.
    """
    if len(events) <= FEW:
        for event in events:
            at = _position(postings, event, 0)
            postings.insert(at, event)
            if authors is not None and names is not None:
                authors.insert(at, names.setdefault(event.pubkey, event.pubkey))
        return
    ordered = sorted(events, key=newest_first, reverse=True)
    ends, begin = [], 0
    for event in ordered:
        begin = _position(postings, event, begin)
        ends.append(begin)
    _weave(postings, ends, ordered)
    if authors is not None and names is not None:
        _weave(authors, ends, [names.setdefault(event.pubkey, event.pubkey) for event in ordered])


def _weave(into: list[T], ends: list[int], values: list[T]) -> None:
    """Insert each value before the element at its end (ascending); elements before the first end are not touched."""
    woven: list[T] = []
    first = begin = ends[0]
    for end, value in zip(ends, values, strict=True):
        woven += into[begin:end]
        woven.append(value)
        begin = end
    woven += into[begin:]
    into[first:] = woven


def _position(postings: PostingList, event: StoredEvent, begin: int) -> int:
    second = event.created_at
    if not postings or postings[-1].created_at < second:
        return len(postings)
    end = bisect_right(postings, second, begin, key=_created_at)
    if end == begin or postings[end - 1].created_at != second or postings[end - 1].id >= event.id:
        return end
    return _within_second(postings, event, begin, end)


def _within_second(postings: PostingList, event: StoredEvent, begin: int, end: int) -> int:
    # All events may be of one second, which their authors choose: a step for each would take milliseconds an event.
    low = bisect_left(postings, event.created_at, begin, end, key=_created_at)
    while low < end:
        middle = (low + end) // 2
        if postings[middle].id <= event.id:
            end = middle
        else:
            low = middle + 1
    return low


def remove(postings: PostingList, event: StoredEvent) -> int:
    """Remove an event that is in the list; returns the index that it had."""
    at = bisect_left(postings, event.created_at, key=_created_at)
    if postings[at].id != event.id:
        at = _within_second(postings, event, at, bisect_right(postings, event.created_at, at, key=_created_at))
    del postings[at]
    return at

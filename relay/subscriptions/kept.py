"""What the filters of open subscriptions take in memory: counted in bytes, for each connection and for the process.

A set of at least SHARED_VALUES values is kept once in a process, however many filters have it: it counts in full for
each connection that has it, and once for the process.

Rule: what was taken is given back with the same filters.
"""

from collections.abc import Sequence
from sys import getsizeof

from msgspec.structs import replace

from relay.protocol.errors import RateLimited
from relay.protocol.filters import Filter, texts_bytes

SHARED_VALUES = 128

FILTER_BYTES = 1_200
"""A filter, its part of a subscription, and its place in the index (measured, CPython 3.11)."""
KIND_BYTES = 150
"""A kind of a filter, likewise."""
PLACE_BYTES = 190
"""A value of a small set, beside its text: place in the set and in the index, head of the text."""
VALUE_BYTES = 250
"""A value of 64 hex digits, with its text."""
ENTRY_BYTES = 72
"""The place of a value of a large set in the index."""

Strings = frozenset[str]


def small_bytes(filters: Sequence[Filter]) -> tuple[int, dict[Strings, None]]:
    """What filters take beside their large sets, and those sets."""
    size = FILTER_BYTES * len(filters)
    large: dict[Strings, None] = {}
    for flt in filters:
        if flt.kinds is not None:
            size += KIND_BYTES * len(flt.kinds)
        for values in (
            flt.ids,
            flt.authors,
        ):  # not `sets()`: most REQ have one filter, and its list cost as much as this
            if values is not None:
                if len(values) < SHARED_VALUES:
                    size += VALUE_BYTES * len(values)
                else:
                    large[values] = None
        for _, values in flt.tags:
            if len(values) < SHARED_VALUES:
                size += PLACE_BYTES * len(values) + texts_bytes(values)  # one may be as long as a message
            else:
                large[values] = None
    return size, large


def large_bytes(values: Strings) -> int:
    """What a large set takes, with its place in the index."""
    return getsizeof(values) + sum(map(getsizeof, values)) + ENTRY_BYTES * len(values)


class _Large:
    """A large set that is kept: the one object, its size, and how many times it was taken."""

    __slots__ = ("bytes", "times", "values")

    def __init__(self, values: Strings, size: int) -> None:
        self.values = values
        self.bytes = size
        self.times = 0


class Kept:
    """The filters of one connection, or of a process."""

    __slots__ = ("_large", "_process", "bytes", "filters", "max_bytes")

    def __init__(self, max_bytes: int, process: "Kept | None" = None) -> None:
        self.bytes = 0
        self.filters = 0
        self.max_bytes = max_bytes
        self._process = process
        self._large: dict[Strings, _Large] = {}

    def take(self, filters: Sequence[Filter]) -> tuple[Sequence[Filter], int]:
        """Count filters; returns those to keep, which share their large sets with equal ones, and what they take beside
        these sets: -1 if there are any.

        Raises RateLimited, with nothing changed, if that is more than the connection or the process may keep.
        """
        small, wanted = small_bytes(filters)
        process = self._process
        if not wanted:
            count = len(filters)
            self._check(small)
            if process is not None:
                process._check(small)
                process.bytes += small
                process.filters += count
            self.bytes += small
            self.filters += count
            return filters, small
        found = [self._known(values) for values in wanted]
        self._check(small + sum(each.bytes for each in found if not each.times))
        if process is not None:
            new = [each for each in found if each.values not in self._large]
            process._check(small + sum(each.bytes for each in new if each.values not in process._large))
            process._add(small, len(filters))
            process._count([process._large.get(each.values) or _Large(each.values, each.bytes) for each in new])
        self._add(small, len(filters))
        self._count(found)
        return tuple([_shared(flt, self._large) for flt in filters]), -1

    def give(self, filters: Sequence[Filter], small: int = -1) -> int:
        """Filters that were taken are no longer kept; returns at least their own bytes, not those that others share.

        `small`: as `take` returned it, so that they need not be looked through again.
        """
        large: dict[Strings, None] = {}
        if small < 0:
            small, large = small_bytes(filters)
        count, process = len(filters), self._process
        self.bytes -= small
        self.filters -= count
        if process is not None:
            process.bytes -= small
            process.filters -= count
        if not large:
            return small
        before = self.bytes
        gone = [values for values in large if self._leave(values)]
        if process is not None:
            for values in gone:
                process._leave(values)
        return small + before - self.bytes

    def _known(self, values: Strings) -> _Large:
        """What is kept here or in the process, or would be."""
        found = self._large.get(values)
        if found is not None:
            return found
        if self._process is None:
            return _Large(values, large_bytes(values))
        shared = self._process._known(values)
        return _Large(shared.values, shared.bytes)

    def _check(self, size: int) -> None:
        if self.bytes + size > self.max_bytes:
            raise RateLimited("too many filters are open, close some")

    def _add(self, size: int, filters: int) -> None:
        self.bytes += size
        self.filters += filters

    def _count(self, found: Sequence[_Large]) -> None:
        for each in found:
            if not each.times:
                self._large[each.values] = each
                self.bytes += each.bytes
            each.times += 1

    def _leave(self, values: Strings) -> bool:
        """One time less; True if it is not kept any more."""
        each = self._large[values]
        each.times -= 1
        if each.times:
            return False
        del self._large[values]
        self.bytes -= each.bytes
        return True


def _shared(flt: Filter, large: dict[Strings, _Large]) -> Filter:
    """The filter with the kept objects for its large sets."""
    if all(len(values) < SHARED_VALUES for values in flt.sets()):
        return flt

    def kept(values: Strings) -> Strings:
        return large[values].values if len(values) >= SHARED_VALUES else values

    return replace(
        flt,
        ids=None if flt.ids is None else kept(flt.ids),
        authors=None if flt.authors is None else kept(flt.authors),
        tags=tuple([(letter, kept(keys)) for letter, keys in flt.tags]),
    )

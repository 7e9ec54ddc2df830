"""The filters that share a set of values, as the index of filters keeps them: by kind, and some sorted by time.

Rule: a set of values stands in the index once, however many filters have it: 300 subscriptions of one home feed cost as
much as one.
"""

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

Values = frozenset[str] | frozenset[int]
Timed = list[tuple[int, int, T]]
"""(time, number of the filter, owner), sorted."""


class OwnersByTime(Generic[T]):
    """The owners of the filters of one posting and one kind. `current` are candidates whatever the time is, with the
    number of filters of each.

    Filters that cannot match an event of about now are sorted, so that such an event does not meet them: `ended` by
    `until`, `later` by `since`; both None if there is none.
    """

    __slots__ = ("current", "ended", "later")

    def __init__(self) -> None:
        self.current: dict[T, int] = {}
        self.ended: Timed[T] | None = None
        self.later: Timed[T] | None = None

    def __bool__(self) -> bool:
        return bool(self.current or self.ended or self.later)

    def at(self, created_at: int) -> Iterable[T]:
        """The owners of filters that may match at a time (Unix seconds), each once."""
        found = list(self.current)
        if self.ended:
            found += [owner for _, _, owner in self.ended[bisect_left(self.ended, (created_at,)) :]]
        if self.later:
            found += [owner for _, _, owner in self.later[: bisect_left(self.later, (created_at + 1,))]]
        return dict.fromkeys(found)


class Posting(Generic[T]):
    """A set of values of one field, with the filters that have it, by kind. `size`: the number of filters.

    Most sets, those of home feeds above all, have one filter: `only` is its owner then, and nothing is kept by kind.
    """

    __slots__ = ("field", "kinds", "only", "place", "size", "values")

    def __init__(self, field: str, values: Values) -> None:
        self.field = field
        self.values = values
        self.kinds: dict[int, OwnersByTime[T]] = {}
        self.only: T | None = None
        self.place: Place[T] | None = None  # of the only one
        self.size = 0


class Place(Generic[T]):
    """Where one filter stands: its posting and kinds there, and `until` or `since` if it is sorted by that."""

    __slots__ = ("kinds", "number", "posting", "since", "until")

    def __init__(self, posting: Posting[T], kinds: Iterable[int], number: int) -> None:
        self.posting = posting
        self.kinds = kinds
        self.number = number
        self.since: int | None = None
        self.until: int | None = None

    @property
    def is_current(self) -> bool:
        """True unless it is sorted by time."""
        return self.since is None and self.until is None

    def enter(self, owner: T) -> None:
        """Add the filter of `owner` to its posting, by kind."""
        by_kind = self.posting.kinds
        for kind in self.kinds:
            owners = by_kind.setdefault(kind, OwnersByTime())
            if self.until is not None:
                owners.ended = owners.ended or []
                insort(owners.ended, (self.until, self.number, owner))
            elif self.since is not None:
                owners.later = owners.later or []
                insort(owners.later, (self.since, self.number, owner))
            else:
                owners.current[owner] = owners.current.get(owner, 0) + 1

    def leave(self, owner: T) -> None:
        """Take out what `enter` added."""
        by_kind = self.posting.kinds
        for kind in self.kinds:
            owners = by_kind[kind]
            if self.until is not None and owners.ended is not None:
                del owners.ended[bisect_left(owners.ended, (self.until, self.number))]
                owners.ended = owners.ended or None
            elif self.since is not None and owners.later is not None:
                del owners.later[bisect_left(owners.later, (self.since, self.number))]
                owners.later = owners.later or None
            elif owners.current[owner] == 1:
                del owners.current[owner]
            else:
                owners.current[owner] -= 1
            if not owners:
                del by_kind[kind]

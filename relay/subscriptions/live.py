"""The live subscriptions of this process, in groups of equal filters, and their entry into the index.

A subscription enters the index with the first change after its release: until then the ring holds its changes, and most
clients that query once have closed it by then.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from relay.protocol.filters import Filter
from relay.subscriptions.index import FilterIndex
from relay.subscriptions.subscription import Conditions, FilterGroup, Subscription

PIECE_FILTERS = 50
"""Filters that enter the index between two looks at the clock: 0.5 ms."""
UNINDEXED = 256
"""Released subscriptions that may wait for the next change to enter the index."""


class LiveSubscriptions:
    """`index`: the groups by their filters. `released`: subscriptions that are not in it yet, in the order of release.

    `schedule` is called when there is enough to do for `upkeep`, a piece of work in a later turn of the loop.
    """

    def __init__(self, schedule: Callable[[], None]) -> None:
        self.index: FilterIndex[FilterGroup] = FilterIndex()
        self.released: dict[Subscription, None] = {}
        self._groups: dict[Conditions, FilterGroup] = {}
        self._closed: deque[FilterGroup] = deque()
        self._schedule = schedule

    def add(self, subscription: Subscription, position: int) -> int:
        """Make a subscription live, unless it is closed: it gets the changes after `position`, which is returned."""
        if subscription.closed:
            return position
        subscription.position = position
        self.released[subscription] = None
        if len(self.released) > UNINDEXED:
            self._schedule()
        return position

    def leave_group(self, subscription: Subscription, group: FilterGroup) -> None:
        """Take a subscription out of its group; an empty group leaves the index soon."""
        subscription.group = None
        del group.subscriptions[subscription]
        if not group.subscriptions:
            del self._groups[group.conditions]
            self._closed.append(group)
            self._schedule()

    def free_later(self, filters: Sequence[Filter]) -> None:
        """Free large filters in a later turn of the loop."""
        self._closed.append(FilterGroup((), filters))
        self._schedule()

    def enter_index(self) -> Iterator[None]:
        """Index the subscriptions released since the last change, in pieces."""
        index = self.index
        while self.released or index.is_entering:
            while index.is_entering:
                index.enter_some()
                yield
            work = 0
            while self.released and work < PIECE_FILTERS and not index.is_entering:
                subscription = next(iter(self.released))
                del self.released[subscription]
                self._join_group(subscription)
                work += 1 + len(subscription.filters)
            if self.released:
                yield

    def _join_group(self, subscription: Subscription) -> None:
        filters = [flt for flt in subscription.filters if not flt.matches_nothing]
        if not filters:
            return
        conditions = tuple([flt.conditions for flt in filters])
        group = self._groups.get(conditions)
        if group is None:
            group = self._groups[conditions] = FilterGroup(conditions, filters)
            self.index.add(group, filters)
        group.subscriptions[subscription] = None
        subscription.group = group

    def upkeep(self) -> bool:
        """One piece of work on the index; False if there is none."""
        index = self.index
        if len(self.released) > UNINDEXED or index.is_entering:
            next(self.enter_index(), None)
        elif index.is_removing:
            index.remove_some()
        elif self._closed:
            index.remove(self._closed.popleft())
        else:
            return False
        return True

"""All open subscriptions of this process, and the live seam.

Rule: a subscription has a position and is sent the matching changes after it, each once, in order. This needs no set of
seen ids and no timer: while a subscription is held, the ring keeps the changes that it will be sent.
"""

import time
from collections.abc import Iterable, Sequence

from relay.changes.change import Added, Change
from relay.changes.intake import Intake
from relay.changes.ring import OutOfReach
from relay.protocol.audience import NOBODY, Audience
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter
from relay.protocol.visibility import is_copied, visible
from relay.subscriptions.index import FilterIndex
from relay.subscriptions.outbox import Outbox

HELD = 2**63
"""The position of a subscription whose stored answer is not sent yet: no change lies after it."""


MOST_BYTES = 1_048_576
"""Texts sent in one step to a subscription that catches up."""

MOST_CHANGES = 2_000
"""Changes looked at in one such step: about 5 ms with few filters."""


class Reader:
    """The receiving client. `audience` grows when it proves a key."""

    __slots__ = ("audience",)

    def __init__(self, audience: Audience = NOBODY) -> None:
        self.audience = audience


class FilterGroup:
    """Live subscriptions with equal filters, matched once for each event."""

    __slots__ = ("filters", "subscriptions")

    def __init__(self, filters: tuple[Filter, ...]) -> None:
        self.filters = filters
        self.subscriptions: dict[Subscription, None] = {}


class Subscription:
    """One open subscription. `head`: the start of its EVENT frames. `position`: the last change that it does not
    need.
    """

    __slots__ = ("closed", "filters", "group", "head", "outbox", "position", "reader")

    def __init__(self, outbox: Outbox, head: bytes, filters: Sequence[Filter], reader: Reader | None = None) -> None:
        """Without a `reader` it receives public events only."""
        self.reader = reader or Reader()
        self.outbox = outbox
        self.head = head
        self.filters = filters
        self.position = HELD
        self.closed = False
        self.group: FilterGroup | None = None

    def frame(self, text: bytes) -> bytes:
        """The EVENT frame of a stored text for this subscription."""
        return self.head + text + b"]"


def matches_any(filters: Sequence[Filter], event: StoredEvent) -> bool:
    """True if any of the filters matches."""
    for flt in filters:  # noqa: SIM110 - the hot path: a generator costs more than the loop
        if flt.matches(event):
            return True
    return False


class Hub:
    """Registers subscriptions and sends them new events.

    A subscription enters the index with the first change after its release: until then the ring holds its changes, and
    most clients that query once have closed it by then.
    """

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self.deliveries = 0
        self.subscriptions = 0
        self._index: FilterIndex[FilterGroup] = FilterIndex()
        self._groups: dict[tuple[Filter, ...], FilterGroup] = {}
        self._released: dict[Subscription, None] = {}

    @property
    def position(self) -> int:
        """The last change that this process has applied."""
        return self.intake.ring.position

    def open(self, subscription: Subscription) -> None:
        """Add a subscription, held until `release`."""
        self.subscriptions += 1

    def close(self, subscription: Subscription) -> None:
        """Remove a subscription; to be called once for each that was opened."""
        subscription.closed = True
        self.subscriptions -= 1
        self._released.pop(subscription, None)
        group = subscription.group
        if group is not None:
            subscription.group = None
            del group.subscriptions[subscription]
            if not group.subscriptions:
                self._index.remove(group, group.filters)
                del self._groups[group.filters]

    def _register(self) -> None:
        """Index the subscriptions released since the last change."""
        for subscription in self._released:
            filters = tuple(subscription.filters)
            group = self._groups.get(filters)
            if group is None:
                group = self._groups[filters] = FilterGroup(filters)
                self._index.add(group, filters)
            group.subscriptions[subscription] = None
            subscription.group = group
        self._released.clear()

    def may_receive(self, subscription: Subscription, event: StoredEvent) -> bool:
        """True if the event matches the subscription and is visible to its reader now (01-F19, X-1)."""
        audience = subscription.reader.audience
        return matches_any(subscription.filters, event) and visible(event, audience, int(time.time()))

    def release(self, subscription: Subscription, position: int, most: int = MOST_BYTES) -> int:
        """Send the changes after `position` and make the subscription live, in one step of the loop; returns the last
        change that was sent.

        If they are more than `most` bytes, or than MOST_CHANGES, the first of them are sent and the subscription stays
        held: call again with the position returned. Raises OutOfReach, with nothing changed, if the ring does not reach
        back to `position`.
        """
        size = 0
        for count, change in enumerate(self.intake.ring.since(position)):
            if size >= most or count == MOST_CHANGES:
                return position
            if type(change) is Added and self.may_receive(subscription, change.event):
                self.deliveries += 1
                size += len(change.event.json)
                subscription.outbox.put(subscription.frame(change.event.json))
            position = change.seq
        subscription.position = max(position, self.position)
        if not subscription.closed:
            self._released[subscription] = None
        return subscription.position

    def deliver(self, changes: Iterable[Change]) -> None:
        """Send newly applied changes, in order, to the subscriptions that they match."""
        now = int(time.time())
        if self._released:
            self._register()
        for change in changes:
            if type(change) is Added:
                self._deliver(change.event, change.seq, now)

    def deliver_ephemeral(self, event: StoredEvent) -> None:
        """Send an event that is not in the log (01-K04); held subscriptions do not get it."""
        if self._released:
            self._register()
        self._deliver(event, HELD - 1, int(time.time()))

    def _deliver(self, event: StoredEvent, seq: int, now: int) -> None:
        if not is_copied(event.kind):
            self._deliver_privately(event, seq, now)
            return
        if not visible(event, NOBODY, now):
            return
        text = event.json + b"]"
        delivered = 0
        for group in self._index.candidates(event):
            if matches_any(group.filters, event):
                # A copy: a client that is cut off during the delivery removes its subscriptions at once.
                for subscription in list(group.subscriptions):
                    if seq > subscription.position:
                        subscription.outbox.put(subscription.head + text)
                        delivered += 1
        self.deliveries += delivered

    def _deliver_privately(self, event: StoredEvent, seq: int, now: int) -> None:
        """Like `_deliver`, checking the audience of each receiver."""
        for group in self._index.candidates(event):
            if matches_any(group.filters, event):
                for subscription in list(group.subscriptions):
                    if seq > subscription.position and visible(event, subscription.reader.audience, now):
                        subscription.outbox.put(subscription.frame(event.json))
                        self.deliveries += 1


__all__ = ["HELD", "Hub", "OutOfReach", "Reader", "Subscription"]

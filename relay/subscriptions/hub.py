"""All open subscriptions of this process, and the live seam.

A subscription is held while its stored answer is sent; the ring keeps the changes that it will be sent. `release` sends
them and makes it live; `deliver` sends what comes afterwards.
"""

import time
from collections.abc import Sequence

from relay.changes.change import Added, Change
from relay.changes.intake import Intake
from relay.metrics import counters
from relay.protocol.event import StoredEvent
from relay.protocol.visibility import visible
from relay.subscriptions.backlog import Backlog, Later
from relay.subscriptions.delivery import deliver_in_pieces
from relay.subscriptions.kept import Kept
from relay.subscriptions.live import LiveSubscriptions
from relay.subscriptions.subscription import HELD, Subscription, matches_any

SEAM_CHECKS = 20_000
"""Changes times filters that are compared in one step when a subscription is released: 4 ms. A value of a tag that is
looked for counts as another filter: 700 events of 501 tags and 20 filters of 1,500 values were one step of 2 s.
"""
SEAM_BYTES = 1_048_576
"""Texts sent in one such step."""
FREED_AT_ONCE_BYTES = 50_000
"""Filters of a closed subscription that are freed with it, 200 values; larger ones later, in pieces, as their places in
the index."""


class Hub:
    """Registers subscriptions and sends them new events."""

    def __init__(self, intake: Intake, max_filter_bytes: int = 2**62, later: Later | None = None) -> None:
        """`max_filter_bytes` bounds the filters of all subscriptions. `later` is by default `call_soon` of the running
        loop.
        """
        self.intake = intake
        self.kept = Kept(max_filter_bytes)
        self.backlog = Backlog(later)
        self.subscriptions = 0
        self.ephemerals_dropped = 0
        self.seam_checks = SEAM_CHECKS
        self._live = LiveSubscriptions(self.backlog.schedule)
        self.backlog.upkeep = self._live.upkeep

    @property
    def position(self) -> int:
        """The last change that this process has applied; some changes up to it may not be delivered yet."""
        return self.intake.ring.position

    def open(self, subscription: Subscription) -> None:
        """Add a subscription, held until `release`.

        Raises RateLimited, with nothing changed, if its filters are more than its connection, or this process, keeps.
        """
        kept = subscription.reader.kept
        if kept is not None:
            subscription.filters, subscription.kept_bytes = kept.take(subscription.filters)
        self.subscriptions += 1

    def close(self, subscription: Subscription) -> None:
        """Remove a subscription; to be called once for each that was opened."""
        subscription.closed = True
        subscription.position = HELD
        self.subscriptions -= 1
        live, group = self._live, subscription.group
        live.released.pop(subscription, None)
        if group is not None:
            live.leave_group(subscription, group)
        filters, kept = subscription.filters, subscription.reader.kept
        if (0 if kept is None else kept.give(filters, subscription.kept_bytes)) > FREED_AT_ONCE_BYTES:
            live.free_later(filters)
            subscription.filters = ()

    def may_receive(self, subscription: Subscription, event: StoredEvent) -> bool:
        """True if the event matches the subscription and is visible to its reader now (01-F19, X-1)."""
        audience = subscription.reader.audience
        return matches_any(subscription.filters, event) and visible(event, audience, int(time.time()))

    def release(self, subscription: Subscription, position: int, most: int = SEAM_BYTES) -> int:
        """Send the changes after `position` and make the subscription live, in one step of the loop; returns the last
        change that was sent.

        If they are more than `most` bytes, or than one step may compare, the first of them are sent and the
        subscription stays held: call again with the position returned. Raises OutOfReach, with nothing changed, if the
        ring does not reach back to `position`.
        """
        ring = self.intake.ring
        if position >= ring.position:  # most queries: nothing came meanwhile
            return self._live.add(subscription, position)
        size = checks = 0
        filters = subscription.filters
        for change in ring.since(position):
            if size >= most or checks >= self.seam_checks:
                return position
            checks += len(filters) or 1
            if type(change) is Added:
                checks += sum([flt.looks(change.event) for flt in filters])
            # What was removed since is not sent any more (09-16).
            if (
                type(change) is Added
                and not ring.is_gone(change.event, change.seq)
                and self.may_receive(subscription, change.event)
            ):
                counters.deliveries += 1
                size += len(change.event.json)
                subscription.outbox.put(subscription.frame(change.event.json))
            position = change.seq
        return self._live.add(subscription, max(position, ring.position))

    def deliver(self, changes: Sequence[Change]) -> None:
        """Send newly applied changes, in order, to the subscriptions that they match; what takes long goes on later."""
        if changes:
            backlog = self.backlog
            events = [(change.seq, change.event) for change in changes if type(change) is Added]
            backlog.begin(deliver_in_pieces(self._live, self.intake, events, bool(backlog.deliveries)), changes)

    def deliver_ephemeral(self, event: StoredEvent) -> None:
        """Send an event that is not in the log (01-K04); held subscriptions do not get it.

        Dropped and counted if too much waits for its delivery.
        """
        backlog = self.backlog
        if backlog.is_full:
            self.ephemerals_dropped += 1
            return
        events, changes = [(HELD - 1, event)], (Added(HELD - 1, event),)
        backlog.begin(deliver_in_pieces(self._live, self.intake, events, bool(backlog.deliveries)), changes)

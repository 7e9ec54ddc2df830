"""All open subscriptions of this process, and the live seam.

Rule: a subscription has a position and is sent the matching changes after it, each once, in order. This needs no set of
seen ids and no timer: while a subscription is held, the ring keeps the changes that it will be sent.

A delivery that takes longer than `SLICE_SECONDS` goes on in the next turns of the loop, and later changes wait behind
it. That needs no other rule: a subscription released meanwhile is sent everything that this process has applied, and
its position keeps it out of what is still being delivered.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from relay.changes.change import Added, Change
from relay.changes.intake import Intake
from relay.changes.ring import OutOfReach
from relay.changes.sizes import change_bytes
from relay.metrics import counters
from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter
from relay.protocol.visibility import is_copied, visible
from relay.subscriptions.index import FilterIndex
from relay.subscriptions.kept import Kept
from relay.subscriptions.outbox import Outbox

log = logging.getLogger("relay.hub")

Later = Callable[[Callable[[], None]], object]
"""Calls a function in the next turn of the loop."""

HELD = 2**63
"""The position of a subscription whose stored answer is not sent yet: no change lies after it."""


SLICE_SECONDS = 0.005
"""The hub uses the loop for so long at a time, to within the price of one piece."""
PIECE = 250
"""Filters that are compared, or frames that are put, between two looks at the clock: 0.1 ms."""
CANDIDATES_WORK = 50
"""What it costs to find up to `index.CANDIDATES` candidates, in filters that are compared."""
PIECE_FILTERS = 50
"""Filters that enter the index between two looks at the clock: 0.5 ms."""
SEAM_CHECKS = 20_000
"""Changes times filters that are compared in one step when a subscription is released: 4 ms."""
SEAM_BYTES = 1_048_576
"""Texts sent in one such step."""
UNINDEXED = 256
"""Released subscriptions that may wait for the next change to enter the index."""
BACKLOG_BYTES = 33_554_432
"""Changes that wait for their delivery; above it the follower takes no more."""
FREED_AT_ONCE_BYTES = 50_000
"""Filters of a closed subscription that are freed with it, 200 values; larger ones later, in pieces, as their places in
the index."""


class Reader:
    """The receiving client. `audience` grows when it proves a key; `kept` counts its filters."""

    __slots__ = ("audience", "kept")

    def __init__(self, audience: Audience = ANONYMOUS, kept: Kept | None = None) -> None:
        self.audience = audience
        self.kept = kept


Conditions = tuple[tuple[object, ...], ...]
"""What decides whether filters match: all but their limits."""


class FilterGroup:
    """Live subscriptions with equal filters, matched once for each event."""

    __slots__ = ("conditions", "filters", "subscriptions")

    def __init__(self, conditions: "Conditions", filters: Sequence[Filter]) -> None:
        self.conditions = conditions
        self.filters = filters
        self.subscriptions: dict[Subscription, None] = {}


class Subscription:
    """One open subscription. `head`: the start of its EVENT frames. `position`: the last change that it does not
    need.
    """

    __slots__ = ("closed", "filters", "group", "head", "kept_bytes", "outbox", "position", "reader")

    def __init__(self, outbox: Outbox, head: bytes, filters: Sequence[Filter], reader: Reader | None = None) -> None:
        """Without a `reader` it receives public events only."""
        self.reader = reader or Reader()
        self.outbox = outbox
        self.head = head
        self.filters = filters
        self.position = HELD
        self.closed = False
        self.kept_bytes = -1
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

    def __init__(self, intake: Intake, max_filter_bytes: int = 2**62, later: Later | None = None) -> None:
        """`max_filter_bytes` bounds the filters of all subscriptions. `later` is by default `call_soon` of the running
        loop.
        """
        self.intake = intake
        self.kept = Kept(max_filter_bytes)
        self.deliveries = 0
        self.subscriptions = 0
        self.ephemerals_dropped = 0
        self.backlog_bytes = 0
        self.slice_seconds = SLICE_SECONDS
        self.seam_checks = SEAM_CHECKS
        self._later = later or _call_soon
        self._index: FilterIndex[FilterGroup] = FilterIndex()
        self._groups: dict[Conditions, FilterGroup] = {}
        self._released: dict[Subscription, None] = {}
        self._backlog: deque[tuple[Iterator[None], int]] = deque()
        self._closed: deque[FilterGroup] = deque()
        self._is_scheduled = False
        self._room: asyncio.Future[None] | None = None

    @property
    def position(self) -> int:
        """The last change that this process has applied; some changes up to it may not be delivered yet."""
        return self.intake.ring.position

    @property
    def is_full(self) -> bool:
        """True while more than BACKLOG_BYTES of changes wait for their delivery."""
        return self.backlog_bytes > BACKLOG_BYTES

    async def room(self) -> None:
        """Wait until the hub is not full."""
        while self.is_full:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

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
        self._released.pop(subscription, None)
        group = subscription.group
        if group is not None:
            subscription.group = None
            del group.subscriptions[subscription]
            if not group.subscriptions:
                del self._groups[group.conditions]
                self._closed.append(group)
        filters, kept = subscription.filters, subscription.reader.kept
        if (0 if kept is None else kept.give(filters, subscription.kept_bytes)) > FREED_AT_ONCE_BYTES:
            self._closed.append(FilterGroup((), filters))
            subscription.filters = ()
        if self._closed:
            self._schedule()

    def drop_backlog(self) -> None:
        """Forget what is not delivered: the position was lost, and numbers may be used again."""
        self._backlog.clear()
        self._set_backlog(0)

    def _register(self) -> Iterator[None]:
        """Index the subscriptions released since the last change."""
        index = self._index
        while self._released or index.is_entering:
            while index.is_entering:
                index.enter_some()
                yield
            work = 0
            while self._released and work < PIECE_FILTERS and not index.is_entering:
                subscription = next(iter(self._released))
                del self._released[subscription]
                self._add(subscription)
                work += 1 + len(subscription.filters)
            if self._released:
                yield

    def _add(self, subscription: Subscription) -> None:
        filters = [flt for flt in subscription.filters if not flt.matches_nothing]
        if not filters:
            return
        conditions = tuple([flt.conditions for flt in filters])
        group = self._groups.get(conditions)
        if group is None:
            group = self._groups[conditions] = FilterGroup(conditions, filters)
            self._index.add(group, filters)
        group.subscriptions[subscription] = None
        subscription.group = group

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
        if position >= self.position:  # most queries: nothing came meanwhile
            return self._make_live(subscription, position)
        size = 0
        most_changes = max(1, self.seam_checks // (len(subscription.filters) or 1))
        ring = self.intake.ring
        for count, change in enumerate(ring.since(position)):
            if size >= most or count == most_changes:
                return position
            # What was removed since is not sent any more (09-16).
            if (
                type(change) is Added
                and not ring.is_gone(change.event, change.seq)
                and self.may_receive(subscription, change.event)
            ):
                self.deliveries += 1
                size += len(change.event.json)
                subscription.outbox.put(subscription.frame(change.event.json))
            position = change.seq
        return self._make_live(subscription, max(position, self.position))

    def _make_live(self, subscription: Subscription, position: int) -> int:
        if subscription.closed:
            return position
        subscription.position = position
        self._released[subscription] = None
        if len(self._released) > UNINDEXED:
            self._schedule()
        return position

    def deliver(self, changes: Sequence[Change]) -> None:
        """Send newly applied changes, in order, to the subscriptions that they match; what takes long goes on later."""
        if changes:
            self._begin(
                self._pieces([(change.seq, change.event) for change in changes if type(change) is Added]), changes
            )

    def deliver_ephemeral(self, event: StoredEvent) -> None:
        """Send an event that is not in the log (01-K04); held subscriptions do not get it.

        Dropped and counted if the hub is full.
        """
        if self.is_full:
            self.ephemerals_dropped += 1
            return
        self._begin(self._pieces([(HELD - 1, event)]), (Added(HELD - 1, event),))

    def _begin(self, work: Iterator[None], changes: Sequence[Change]) -> None:
        """Do the work now, or what does not fit in this turn later, in order."""
        if not self._backlog:
            stop = time.monotonic() + self.slice_seconds
            for _ in work:
                if time.monotonic() > stop:
                    break
            else:
                return
        size = sum(map(change_bytes, changes))
        self._backlog.append((work, size))
        self._set_backlog(self.backlog_bytes + size)
        self._schedule()

    def _set_backlog(self, size: int) -> None:
        self.backlog_bytes = size
        if self._room is not None and not self.is_full:
            room, self._room = self._room, None
            room.set_result(None)

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._later(self._run)

    def _run(self) -> None:
        """One slice of what waits: deliveries, then the index."""
        self._is_scheduled = False
        counters.delivery_slices += 1
        stop = time.monotonic() + self.slice_seconds
        while self._step():
            if time.monotonic() > stop:
                self._schedule()
                return

    def _step(self) -> bool:
        """One piece of work; False if there is none."""
        if self._backlog:
            work, size = self._backlog[0]
            try:
                next(work)
            except StopIteration:
                self._backlog.popleft()
                self._set_backlog(self.backlog_bytes - size)
            except Exception:
                counters.internal_errors += 1
                log.exception("a batch of changes could not be delivered")
                self._backlog.popleft()
                self._set_backlog(self.backlog_bytes - size)
            return True
        index = self._index
        if len(self._released) > UNINDEXED or index.is_entering:
            next(self._register(), None)
        elif index.is_removing:
            index.remove_some()
        elif self._closed:
            index.remove(self._closed.popleft())
        else:
            return False
        return True

    def _pieces(self, events: Sequence[tuple[int, StoredEvent]]) -> Iterator[None]:  # noqa: PLR0912 - the hot path
        """Deliver events with their numbers; gives way after each PIECE of work.

        What was removed while it waited for its turn is not sent any more (09-16).
        """
        index, now = self._index, int(time.time())
        work = delivered = 0
        has_waited = bool(self._backlog)
        for seq, event in events:
            if self._released or index.is_entering:
                for _ in self._register():
                    has_waited = True
                    yield
            is_public = is_copied(event.kind)
            if is_public and not visible(event, ANONYMOUS, now):
                continue
            if has_waited and self.intake.ring.is_gone(event, seq):
                continue
            text = event.json + b"]"
            for groups in index.candidates(event):
                if work > PIECE:
                    work = 0
                    has_waited = True
                    yield
                    if self.intake.ring.is_gone(event, seq):
                        break
                for group in groups:
                    filters = group.filters
                    # The call costs as much as the comparison; most subscriptions have one filter.
                    if filters[0].matches(event) or (len(filters) > 1 and matches_any(filters, event)):
                        subscriptions = group.subscriptions
                        if is_public and len(subscriptions) < PIECE:
                            # A copy: a client that is cut off during the delivery removes its subscriptions at once.
                            for subscription in tuple(subscriptions):
                                if seq > subscription.position:
                                    subscription.outbox.put(subscription.head + text)
                                    delivered += 1
                        else:
                            for _ in self._put(list(subscriptions), event, text, seq, is_public):
                                has_waited = True
                                yield
                                if self.intake.ring.is_gone(event, seq):
                                    break
                            if has_waited and self.intake.ring.is_gone(event, seq):
                                break
                        work += len(subscriptions)
                    work += len(filters)
                    if work > PIECE:
                        self.deliveries += delivered
                        work = delivered = 0
                        has_waited = True
                        yield
                        now = int(time.time())
                        if self.intake.ring.is_gone(event, seq):
                            break
                else:
                    continue
                break
            work += CANDIDATES_WORK
        self.deliveries += delivered

    def _put(
        self, receivers: Sequence[Subscription], event: StoredEvent, text: bytes, seq: int, is_public: bool
    ) -> Iterator[None]:
        """Deliver a private event, or one for many; gives way after each PIECE of receivers."""
        now = int(time.time())
        for number, subscription in enumerate(receivers, 1):
            if seq > subscription.position and (is_public or visible(event, subscription.reader.audience, now)):
                subscription.outbox.put(subscription.head + text)
                self.deliveries += 1
            if not number % PIECE:
                yield


def _call_soon(then: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_soon(then)


__all__ = ["HELD", "Hub", "OutOfReach", "Reader", "Subscription"]

"""The delivery of changes to the live subscriptions that they match: candidates, match, frame, outbox.

Hot path: one long function, since each call and each look-up would be paid for every receiver.
"""

from collections.abc import Iterator, Sequence
from time import time

from relay.changes.intake import Intake
from relay.metrics import counters
from relay.protocol.audience import ANONYMOUS
from relay.protocol.event import StoredEvent
from relay.protocol.visibility import is_copied, visible
from relay.subscriptions.live import LiveSubscriptions
from relay.subscriptions.subscription import Subscription, matches_any

PIECE = 250
"""Filters that are compared, or frames that are put, between two looks at the clock: 0.1 ms."""
MANY_TAGS = 100
"""Of an event with more tags each value of a filter that is looked for in them counts as another filter."""
CANDIDATES_WORK = 50
"""What it costs to find up to `index.CANDIDATES` candidates, in filters that are compared."""


def deliver_in_pieces(  # noqa: PLR0912 - the hot path
    live: LiveSubscriptions, intake: Intake, events: Sequence[tuple[int, StoredEvent]], has_waited: bool
) -> Iterator[None]:
    """Deliver events with their numbers; gives way after each PIECE of work. `has_waited`: others are delivered first.

    What was removed while it waited for its turn is not sent any more (09-16).
    """
    index, released, now = live.index, live.released, int(time())
    work = delivered = 0
    for seq, event in events:
        if released or index.is_entering:
            for _ in live.enter_index():
                has_waited = True
                yield
        is_public = is_copied(event.kind)
        if is_public and not visible(event, ANONYMOUS, now):
            continue
        if has_waited and intake.ring.is_gone(event, seq):
            continue
        text, has_many_tags = event.json + b"]", len(event.tag_keys) > MANY_TAGS
        for groups in index.candidates(event):
            if not groups:
                work += CANDIDATES_WORK
            if work > PIECE:
                work = 0
                has_waited = True
                yield
                if intake.ring.is_gone(event, seq):
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
                        for _ in _put(list(subscriptions), event, text, seq, is_public):
                            has_waited = True
                            yield
                            if intake.ring.is_gone(event, seq):
                                break
                        if has_waited and intake.ring.is_gone(event, seq):
                            break
                    work += len(subscriptions)
                work += len(filters)
                if has_many_tags:
                    work += sum([flt.looks(event) for flt in filters])
                if work > PIECE:
                    counters.deliveries += delivered
                    work = delivered = 0
                    has_waited = True
                    yield
                    now = int(time())
                    if intake.ring.is_gone(event, seq):
                        break
            else:
                continue
            break
        work += CANDIDATES_WORK
    counters.deliveries += delivered


def _put(
    receivers: Sequence[Subscription], event: StoredEvent, text: bytes, seq: int, is_public: bool
) -> Iterator[None]:
    """Deliver a private event, or one for many; gives way after each PIECE of receivers."""
    now = int(time())
    for number, subscription in enumerate(receivers, 1):
        if seq > subscription.position and (is_public or visible(event, subscription.reader.audience, now)):
            subscription.outbox.put(subscription.head + text)
            counters.deliveries += 1
        if not number % PIECE:
            yield

"""The stored events of a REQ on their way to the client: in pieces, then EOSE, then the live seam (01-S03).

A piece is sent when the client has read what was sent before. The stored answer is the state after change S; later
changes are sent from the ring, or the log, and then the subscription is live. No event is lost or sent twice.
"""

import time
from collections.abc import Sequence
from typing import Any

from relay.changes.ring import OutOfReach
from relay.metrics import counters, query_answered
from relay.protocol.messages import End, ReqMessage, eose, event_head
from relay.services.session.session import Session
from relay.storage.filter_sql import Key
from relay.storage.reads import Item
from relay.subscriptions.subscription import HELD, Subscription


class StoredAnswer:
    """The answer to one REQ, whose `items` are set once they are known, and what of it is not sent yet."""

    __slots__ = (
        "begun",
        "end",
        "eose",
        "items",
        "keyed",
        "out_of_reach",
        "paused_seconds",
        "piece_bytes",
        "position",
        "session",
        "since",
        "source",
        "subscription",
        "subscription_id",
    )

    def __init__(self, session: Session, message: ReqMessage) -> None:
        self.session = session
        self.subscription_id = message.subscription_id
        self.subscription = Subscription(
            session.outbox, event_head(message.subscription_id), message.filters, session.reader
        )
        self.since = time.perf_counter()
        self.begun = False
        """Something was sent."""
        self.end = End.UNKNOWN
        self.eose = False
        """All stored events were sent."""
        self.items: Sequence[Item] = ()
        self.keyed = False
        """Some items are keys."""
        self.position = 0
        self.source = "l1"
        self.out_of_reach = False
        """The ring does not reach back to the position."""
        self.paused_seconds = 0.0
        """The time in which the client had to read."""
        self.piece_bytes = session.piece_bytes

    @property
    def is_live(self) -> bool:
        """True once everything up to now was sent."""
        return self.subscription.position != HELD

    def seconds_left(self) -> float:
        """What is left of the relay's own time: one deadline from the arrival of the REQ to EOSE, for earlier EVENTs,
        the barrier, the queue and all statements. The time in which the client has to read is counted apart.
        """
        passed = time.perf_counter() - self.since - self.paused_seconds
        return self.session.services.config.query_seconds - passed

    def send(self) -> bool:
        """Send what there is room for; True once the subscription is live, or closed.

        False: the client has to read first, or a text has to be fetched, or, after EOSE, the log has to be read, or the
        ring has more than is sent in one step.
        """
        subscription = self.subscription
        outbox, head = subscription.outbox, subscription.head
        while not self.eose:
            if subscription.closed:
                return True
            if outbox.backlog_bytes > self.piece_bytes:
                return False
            piece: Sequence[Any] = self.items
            if self.keyed or sum(map(len, piece)) > self.piece_bytes:
                piece = _texts(piece, self.piece_bytes)
                if not piece and self.items:
                    return False
            self.items = self.items[len(piece) :] if len(piece) < len(self.items) else ()
            counters.stored_sent += len(piece)
            frames = [head + text + b"]" for text in piece]
            if not self.items:
                frames.append(eose(self.subscription_id, self.end))
                self.eose = True
            self.begun = True
            outbox.put_all(frames)
        if subscription.closed:  # the frames were more than its client may leave unread
            return True
        if not self._catch_up():
            return False
        counters.queries_answered += 1
        query_answered("req", self.source, time.perf_counter() - self.since)
        return True

    def _catch_up(self) -> bool:
        """Send what came after the answer, as much as the client can take; True once the subscription is live."""
        subscription = self.subscription
        if subscription.outbox.backlog_bytes > self.piece_bytes:
            return False
        try:
            self.position = self.session.services.hub.release(subscription, self.position, self.piece_bytes)
        except OutOfReach:
            self.out_of_reach = True
            return False
        self.out_of_reach = False
        return self.is_live


def _texts(items: Sequence[Item], most: int) -> Sequence[bytes]:
    """The texts before the first key, up to the one that reaches `most` bytes."""
    size = 0
    for count, item in enumerate(items):
        if size >= most or type(item) is Key:
            return items[:count]  # type: ignore[return-value]
        size += len(item)  # type: ignore[arg-type]
    return items  # type: ignore[return-value]

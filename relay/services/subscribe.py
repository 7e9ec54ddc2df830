"""REQ: stored events with a position, EOSE, and the live seam.

The subscription was registered, held, before the query began; its result is the state after change S; what
came after S is sent from the ring (or the log), and from there on it is live. No event is lost or doubled
(01-S03).
"""

import asyncio
from collections.abc import Sequence

from relay.changes.change import Added
from relay.metrics import counters
from relay.protocol.errors import Failed
from relay.protocol.messages import eose
from relay.storage.log import LogPruned, changes_after
from relay.storage.reads import Reads
from relay.subscriptions.hub import Hub, OutOfReach, Subscription

CHUNK_BYTES = 1_048_576
"""Stored events are handed to the socket in pieces of this size, the next when the last has left."""

CHUNK_EVENTS = 100
"""How many of them are framed before their size is looked at."""

SLOW_READER_SECONDS = 30.0
"""A client that does not take a piece within this time loses its query."""


class Subscriber:
    """Answers subscriptions of one process."""

    def __init__(self, hub: Hub, reads: Reads) -> None:
        self._hub = hub
        self._reads = reads

    async def answer(self, subscription_id: str, subscription: Subscription) -> str:
        """Send the stored events and EOSE, then release the subscription.

        Returns which layer had the stored events, one of relay.metrics.SOURCES.
        Raises Failed or TimeoutError when the query or the client takes too long. Cancelling it is safe at any point.
        """
        result = await self._reads.query(subscription.filters)
        await self._send(subscription, result.events)
        subscription.outbox.put(eose(subscription_id))
        position = result.position
        while True:
            try:
                self._hub.release(subscription, position)
            except OutOfReach:
                position = await self._from_log(subscription, position)
            else:
                return "none"

    async def _send(self, subscription: Subscription, texts: Sequence[bytes]) -> None:
        outbox, head = subscription.outbox, subscription.head
        counters.stored_sent += len(texts)
        waiting = 0
        for start in range(0, len(texts), CHUNK_EVENTS):
            waiting += outbox.put_all([head + text + b"]" for text in texts[start : start + CHUNK_EVENTS]])
            if waiting > CHUNK_BYTES:
                await self._room(subscription)
                waiting = 0

    async def _room(self, subscription: Subscription) -> None:
        async with asyncio.timeout(SLOW_READER_SECONDS):
            await subscription.outbox.room()

    async def _from_log(self, subscription: Subscription, position: int) -> int:
        """Send the matching part of the log after `position`; returns how far it went."""
        try:
            batch = await changes_after(self._reads, position)
        except LogPruned:
            raise Failed("the query took too long to be continued, ask again") from None
        if batch is None:
            return position
        for change in batch.changes:
            if type(change) is Added and self._hub.wants(subscription, change.event):
                self._hub.deliveries += 1
                subscription.outbox.put(subscription.frame(change.event.json))
        await self._room(subscription)
        return batch.last

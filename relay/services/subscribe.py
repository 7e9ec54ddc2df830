"""REQ: stored events with a position, EOSE, and the live seam.

The subscription was registered, held, before the query began; its result is the state after change S; what
came after S is sent from the ring (or the log), and from there on it is live. No event is lost or doubled
(01-S03).
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from relay.caching.answers import Answers
from relay.changes.change import Added
from relay.freshness.barrier import Barrier
from relay.metrics import counters
from relay.protocol.errors import Failed
from relay.protocol.messages import eose
from relay.storage.primary import LogPruned, Primary
from relay.storage.reads import Reads
from relay.subscriptions.hub import Hub, OutOfReach, Subscription

CHUNK_BYTES = 1_048_576
"""Stored events are handed to the socket in pieces of this size, the next when the last has left."""

CHUNK_EVENTS = 100
"""How many of them are framed before their size is looked at."""

SLOW_READER_SECONDS = 30.0
"""A client that does not take a piece within this time loses its query."""


class Asked(Protocol):
    """Whoever waits for the answer to a REQ."""

    def answered(self, source: str) -> None:
        """Everything was sent; `source` is one of relay.metrics.SOURCES."""

    def elsewhere(self) -> None:
        """The answer is not in memory after all."""


class Subscriber:
    """Answers subscriptions of one process."""

    def __init__(self, hub: Hub, reads: Reads, primary: Primary, answers: Answers | None, barrier: Barrier) -> None:
        """Without `answers` PostgreSQL is asked each time."""
        self._hub = hub
        self._reads = reads
        self._primary = primary
        self._answers = answers
        self._barrier = barrier

    def begin(self, subscription_id: str, subscription: Subscription, asked: "Asked") -> bool:
        """Answer from memory, without a task, if what is asked is there.

        True: `asked` will be told in a later turn, if the subscription is still open then. False: use `answer`.
        """
        if self._answers is None:
            return False
        texts = self._answers.copies.known(subscription.filters)
        if texts is None:
            return False
        self._barrier.join(_FromMemory(self._hub, self._answers, subscription_id, subscription, asked, texts).allowed)
        return True

    async def answer(self, subscription_id: str, subscription: Subscription) -> str:
        """Send the stored events and EOSE, then release the subscription.

        Returns which layer had the stored events, one of relay.metrics.SOURCES.
        Raises Failed or TimeoutError when the query or the client takes too long. Cancelling it is safe at any point.
        """
        if self._answers is None:
            result = await self._reads.query(subscription.filters)
            position, texts, source = result.position, result.events, "none"
        else:
            answer = await self._answers.fetch(subscription.filters)
            position, texts, source = answer.position, answer.texts, answer.source
        await self._send(subscription, texts)
        subscription.outbox.put(eose(subscription_id))
        while True:
            try:
                self._hub.release(subscription, position)
            except OutOfReach:
                position = await self._from_log(subscription, position)
            else:
                return source

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
            batch = await self._primary.changes_after(position)
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


class _FromMemory:
    """A REQ whose answer was in memory at `position`, until it is known that it may be sent."""

    __slots__ = ("answers", "asked", "hub", "position", "subscription", "subscription_id", "texts")

    def __init__(  # noqa: PLR0917 - made in one place, on the hot path
        self,
        hub: Hub,
        answers: Answers,
        subscription_id: str,
        subscription: Subscription,
        asked: Asked,
        texts: Sequence[bytes],
    ) -> None:
        self.hub = hub
        self.answers = answers
        self.subscription_id = subscription_id
        self.subscription = subscription
        self.asked = asked
        self.texts = texts
        self.position = hub.position

    def allowed(self, number: int | None) -> None:
        """It may be sent when everything acknowledged before the REQ, which is up to `number`, was applied here."""
        if self.subscription.closed:
            return
        position = self.hub.position
        if number is None:
            self.asked.elsewhere()
        elif position < number:
            self.answers.arrivals.when(number, self.look_again)
        elif position == self.position:
            self.give(self.texts)
        else:
            self.look_again(True)

    def look_again(self, come: bool) -> None:
        """The process has come further, or it takes too long."""
        if self.subscription.closed:
            return
        texts = self.answers.copies.known(self.subscription.filters) if come else None
        if texts is None:
            self.asked.elsewhere()
        else:
            self.give(texts)

    def give(self, texts: Sequence[bytes]) -> None:
        """Send the answer, EOSE, and let the subscription be live, in one step of the loop."""
        subscription = self.subscription
        outbox, head = subscription.outbox, subscription.head
        if outbox.backlog_bytes > CHUNK_BYTES or sum(map(len, texts)) > CHUNK_BYTES:
            self.asked.elsewhere()  # it has to wait for the client to read
            return
        counters.stored_sent += len(texts)
        frames = [head + text + b"]" for text in texts]
        frames.append(eose(self.subscription_id))
        outbox.put_all(frames)
        self.hub.release(subscription, self.hub.position)
        self.asked.answered("l1")

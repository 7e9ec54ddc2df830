"""A REQ from its arrival until its subscription is live: stored events, EOSE, and the live seam (01-S03).

The subscription is registered, held, before anything is looked up. The stored answer is the state after change S; later
changes are sent from the ring, or the log, and then the subscription is live. No event is lost or sent twice.

If memory has the answer and the barrier allows it, it is sent without a task; else a task fetches it. Either way
`_step` sends it, in pieces, each when the client has read what was sent before.
"""

import asyncio
import logging
import time
from collections.abc import Sequence

from relay.changes.change import Added
from relay.metrics import counters, query_answered
from relay.protocol.errors import Failed, RelayError
from relay.protocol.messages import ReqMessage, closed, eose, event_head
from relay.services.session.session import Session
from relay.storage.primary import LogPruned
from relay.subscriptions.hub import OutOfReach, Subscription

log = logging.getLogger("relay.session")

PIECE_BYTES = 1_048_576
"""A piece of the stored events has this size and one event at most; it is sent when less than this waits to leave."""

SLOW_READER_SECONDS = 30.0
"""A query ends if its client does not take a piece within this time."""


class Query:
    """What a session keeps for an open subscription."""

    __slots__ = (
        "_begun",
        "_eose",
        "_is_allowed",
        "_position",
        "_session",
        "_since",
        "_source",
        "_subscription",
        "_subscription_id",
        "_task",
        "_texts",
        "_timer",
    )

    def __init__(self, session: Session, message: ReqMessage) -> None:
        self._session = session
        self._subscription_id = message.subscription_id
        self._subscription = Subscription(
            session.outbox, event_head(message.subscription_id), message.filters, session.reader
        )
        self._since = time.perf_counter()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_allowed = False  # memory holds everything acknowledged before the REQ
        self._begun = False  # something was sent
        self._eose = False  # all stored events were sent
        self._texts: Sequence[bytes] = ()
        self._position = 0
        self._source = "l1"

    def open(self) -> None:
        """Hold the subscription, and answer it once every event before it on the connection is answered (01-E22).

        Raises RateLimited, with nothing changed, if its filters take too much memory.
        """
        session = self._session
        session.services.hub.open(self._subscription)
        counters.queries += 1
        if not session.pending.when_answered(self._begin):
            self._timer = asyncio.get_running_loop().call_later(self._seconds_left(), self._late)

    def stop(self) -> None:
        """The subscription was closed or replaced: send nothing more for it."""
        self._session.services.hub.close(self._subscription)
        if self._timer is not None:
            self._timer.cancel()
            self._session.pending.forget(self._begin)
        if self._task is not None:
            self._task.cancel()

    def _seconds_left(self) -> float:
        return self._session.services.config.query_seconds - (time.perf_counter() - self._since)

    def _late(self) -> None:
        self._session.pending.forget(self._begin)
        self._fail(TimeoutError())

    # -- From memory: callbacks, each of which ends the query if it fails ----------------------------------------------

    def _begin(self) -> None:
        try:
            if self._timer is not None:
                self._timer.cancel()
            if self._look():
                self._session.services.barrier.join(self._allow)
            else:
                self._start()
        except Exception as error:
            self._fail(error)

    def _look(self) -> bool:
        """True if memory has the answer as of the changes that this process has applied."""
        services = self._session.services
        texts = None
        if services.answers is not None:
            texts = services.answers.known(self._subscription.filters, self._session.audience)
        if texts is None:
            return False
        self._texts, self._position, self._source = texts, services.hub.position, "l1"
        return True

    def _allow(self, number: int | None) -> None:
        """Everything acknowledged before the REQ lies up to `number`; None if that is not known."""
        if self._subscription.closed:
            return
        services = self._session.services
        try:
            if number is None:
                self._start()
            elif services.hub.position >= number:
                self._arrived(True)
            else:
                assert services.answers is not None
                services.answers.arrivals.when(number, self._arrived)
        except Exception as error:
            self._fail(error)

    def _arrived(self, come: bool) -> None:
        """Called with True when this process has applied everything acknowledged before the REQ, False on time-out."""
        if self._subscription.closed:
            return
        try:
            self._is_allowed = come
            is_found = come and (self._position == self._session.services.hub.position or self._look())
            if not is_found or not self._step():
                self._start()
        except Exception as error:
            self._fail(error)

    # -- From the store, or to a client that has to read first ---------------------------------------------------------

    def _start(self) -> None:
        if not self._begun:
            self._texts = ()  # not kept while waiting for the turn
        self._task = self._session.services.background.for_client(self._run(), "query")

    async def _run(self) -> None:
        """Answer when it is this query's turn on its connection, within its time (01-S11). Cancelling is safe."""
        try:
            async with asyncio.timeout(self._seconds_left()) as budget, self._session.queries:
                if not self._begun and not (self._is_allowed and self._look()):
                    await self._fetch()
                budget.reschedule(None)  # from here on the client takes the time
                while not self._step():
                    await (self._rest_of_log() if self._eose else self._room())
        except Exception as error:
            self._fail(error)

    async def _fetch(self) -> None:
        services, filters = self._session.services, self._subscription.filters
        audience = self._session.audience
        if services.answers is None:
            result = await services.reads.query(filters, audience, owner=self._session.owner)
            self._texts, self._position, self._source = result.events, result.position, "none"
        else:
            answer = await services.answers.fetch(filters, audience, self._session.owner)
            self._texts, self._position, self._source = answer.texts, answer.position, answer.source

    async def _room(self) -> None:
        async with asyncio.timeout(SLOW_READER_SECONDS):
            await self._subscription.outbox.wait_for_room()

    async def _rest_of_log(self) -> None:
        """Send the matching part of the log after the position, which is below the ring's floor."""
        services, subscription = self._session.services, self._subscription
        try:
            batch = await services.primary.changes_after(self._position)
        except LogPruned:
            raise Failed("the query took too long to be continued, ask again") from None
        if batch is None:
            return
        for change in batch.changes:
            if type(change) is Added and services.hub.may_receive(subscription, change.event):
                services.hub.deliveries += 1
                subscription.outbox.put(subscription.frame(change.event.json))
        self._position = batch.last
        await self._room()

    # -- The answer ----------------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """Send what there is room for; True once the subscription is live, or closed.

        False: the client has to read first, or, after EOSE, the ring does not reach back to the answer's position.
        """
        subscription = self._subscription
        outbox, head = subscription.outbox, subscription.head
        while not self._eose:
            if subscription.closed:
                return True
            if outbox.backlog_bytes > PIECE_BYTES:
                return False
            piece, self._texts = self._texts, ()
            if sum(map(len, piece)) > PIECE_BYTES:
                end = _piece_end(piece)
                piece, self._texts = piece[:end], piece[end:]
            counters.stored_sent += len(piece)
            frames = [head + text + b"]" for text in piece]
            if not self._texts:
                frames.append(eose(self._subscription_id))
                self._eose = True
            self._begun = True
            outbox.put_all(frames)
        try:
            self._session.services.hub.release(subscription, self._position)
        except OutOfReach:
            return False
        self._task = None
        counters.queries_answered += 1
        query_answered("req", self._source, time.perf_counter() - self._since)
        return True

    def _fail(self, error: Exception) -> None:
        """End the subscription with CLOSED."""
        if isinstance(error, TimeoutError):
            error = Failed("query timed out")
        elif not isinstance(error, RelayError):
            counters.internal_errors += 1
            log.error("a query failed", exc_info=error)
            error = Failed("internal")
        counters.queries_failed += 1
        query_answered("req", "none", time.perf_counter() - self._since)
        self._task = None
        session = self._session
        if session.subscriptions.holds(self._subscription_id, self):
            session.close_subscription(self._subscription_id)
            session.outbox.put(closed(self._subscription_id, error.text))


def _piece_end(texts: Sequence[bytes]) -> int:
    """The number of `texts` that make up PIECE_BYTES, including the one that reaches it."""
    size = 0
    for count, text in enumerate(texts, 1):
        size += len(text)
        if size >= PIECE_BYTES:
            return count
    return len(texts)

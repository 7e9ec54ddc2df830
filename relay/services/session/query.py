"""A REQ from its arrival until its subscription is live: stored events, EOSE, and the live seam (01-S03).

The subscription is registered, held, before anything is looked up. The stored answer is the state after change S; later
changes are sent from the ring, or the log, and then the subscription is live. No event is lost or sent twice.

If memory has the answer and the barrier allows it, it is sent without a task; else a task fetches it. Either way
`_step` sends it, in pieces, each when the client has read what was sent before. Of a large answer the store returns the
keys first; the texts of a piece are fetched when the client can take them.

One deadline counts the relay's own time, from the arrival of the REQ to EOSE: for earlier EVENTs, the barrier, the
queue, all statements. The time in which the client has to read is counted apart.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from relay.changes.change import Added
from relay.changes.ring import OutOfReach
from relay.metrics import counters, query_answered
from relay.protocol.errors import Failed, RelayError
from relay.protocol.messages import End, ReqMessage, closed, eose, event_head
from relay.services.session.session import Session
from relay.storage.filter_sql import Key
from relay.storage.primary import LogPruned
from relay.storage.read_result import key_of
from relay.storage.reads import Item
from relay.subscriptions.subscription import HELD, Subscription

log = logging.getLogger("relay.session")

SLOW_READER_SECONDS = 30.0
"""A query ends if its client does not take a piece within this time."""

CLIENT_SECONDS = 600.0
"""A query ends if its client takes longer than this for all pieces."""


TEXT_SECONDS = 0.1
"""A text that is sent later than this after its REQ came is fetched again: its event may have gone, in any process."""


class Query:
    """What a session keeps for an open subscription."""

    __slots__ = (
        "_begun",
        "_clock",
        "_end",
        "_eose",
        "_held_bytes",
        "_is_allowed",
        "_items",
        "_keyed",
        "_out_of_reach",
        "_paused_seconds",
        "_piece_bytes",
        "_position",
        "_session",
        "_since",
        "_source",
        "_subscription",
        "_subscription_id",
        "_task",
        "_timer",
        "_waits_for_barrier",
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
        self._waits_for_barrier = False
        self._is_allowed = False  # memory holds everything acknowledged before the REQ
        self._begun = False  # something was sent
        self._end = End.UNKNOWN
        self._eose = False  # all stored events were sent
        self._items: Sequence[Item] = ()
        self._keyed = False  # some items are keys
        self._position = 0
        self._source = "l1"
        self._out_of_reach = False  # the ring does not reach back to the position
        self._paused_seconds = 0.0  # in which the client had to read
        self._clock: asyncio.Timeout | None = None
        self._held_bytes = 0  # of the process's budget
        self._piece_bytes = session.piece_bytes

    def open(self) -> None:
        """Hold the subscription, and answer it once every event before it on the connection is answered (01-E22).

        Raises RateLimited, with nothing changed, if its filters take too much memory.
        """
        session = self._session
        session.services.hub.open(self._subscription)
        counters.queries += 1
        if not session.pending.when_answered(self._begin) or self._waits():
            self._timer = asyncio.get_running_loop().call_later(self._seconds_left(), self._late)

    def stop(self) -> None:
        """The subscription was closed or replaced: send nothing more for it."""
        self._session.services.hub.close(self._subscription)
        if self._waits_for_barrier:
            self._session.services.barrier.leave(self._allow)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._session.pending.forget(self._begin)
        if self._task is not None:
            self._task.cancel()

    def _waits(self) -> bool:
        """True if neither a task nor the end of the query has come yet: callbacks of the barrier are waited for."""
        return self._task is None and not self._eose and not self._subscription.closed

    def _seconds_left(self) -> float:
        passed = time.perf_counter() - self._since - self._paused_seconds
        return self._session.services.config.query_seconds - passed

    def _late(self) -> None:
        self._session.pending.forget(self._begin)
        self._fail(TimeoutError())

    # -- From memory: callbacks, each of which ends the query if it fails ----------------------------------------------

    def _begin(self) -> None:
        try:
            if self._look():
                self._waits_for_barrier = True
                self._session.services.barrier.join(self._allow)
            else:
                self._start()
        except Exception as error:
            self._fail(error)

    def _look(self) -> bool:
        """True if memory has the answer as of the changes that this process has applied."""
        services = self._session.services
        known = None
        if services.answers is not None:
            known = services.answers.known(self._subscription.filters, self._session.audience)
        if known is None:
            return False
        self._items, self._end = known.texts, known.end
        self._position, self._source = services.hub.position, "l1"
        self._keyed = False
        return True

    def _allow(self, number: int | None) -> None:
        """Everything acknowledged before the REQ lies up to `number`; None if that is not known."""
        self._waits_for_barrier = False
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
        self._no_timer()
        if not self._begun:
            self._items = ()  # not kept while waiting for the turn
        self._task = self._session.services.background.for_client(self._run(), "query")

    async def _run(self) -> None:
        """Answer when it is this query's turn on its connection, within its time (01-S11). Cancelling is safe."""
        try:
            async with asyncio.timeout(self._seconds_left()) as clock, self._session.queries:
                self._clock = clock
                if not self._begun and not (self._is_allowed and self._look()):
                    await self._fetch()
                while not self._step():
                    await self._next()
                if self._held_bytes:
                    await self._room()
        except Exception as error:
            if not self._is_live:
                self._fail(error)
        finally:
            self._task = None
            self._give_back()

    async def _fetch(self) -> None:
        services, filters = self._session.services, self._subscription.filters
        audience, seconds = self._session.audience, self._seconds_left()
        if services.answers is None:
            result = await services.reads.query(filters, audience, owner=self._session.owner, seconds=seconds)
            self._items, self._position, self._source = result.events, result.position, "none"
            self._end = result.end
        else:
            answer = await services.answers.fetch(filters, audience, self._session.owner, seconds)
            self._items, self._position, self._source = answer.items, answer.position, answer.source
            self._end = answer.end
        self._keyed = Key in set(map(type, self._items))

    async def _next(self) -> None:
        """Wait for what `_step` needs to go on."""
        if self._subscription.outbox.backlog_bytes > self._piece_bytes:
            await self._room()
            self._forget_texts()
        elif not self._eose:
            await self._fetch_piece()
        elif self._out_of_reach:
            await self._rest_of_log()
        else:
            await asyncio.sleep(0)  # the ring has more: others have their turn first

    async def _room(self) -> None:
        """Wait until the client has read what was sent. That does not count against the relay's own time."""
        loop, clock = asyncio.get_running_loop(), self._clock
        assert clock is not None
        begin, end = loop.time(), clock.when()
        clock.reschedule(None)
        async with asyncio.timeout(min(SLOW_READER_SECONDS, CLIENT_SECONDS - self._paused_seconds)):
            await self._subscription.outbox.wait_for_room()
        seconds = loop.time() - begin
        self._paused_seconds += seconds
        clock.reschedule(None if end is None else end + seconds)
        self._give_back()

    def _forget_texts(self) -> None:
        """Keep the keys alone of what the client was too slow to take, so that texts are fetched as of then (09-16)."""
        if not self._eose and time.perf_counter() - self._since > TEXT_SECONDS:
            self._items = [item if type(item) is Key else key_of(item) for item in self._items]  # type: ignore[arg-type]
            self._keyed = True

    def _give_back(self) -> None:
        if self._held_bytes:
            size, self._held_bytes = self._held_bytes, 0
            self._session.services.pieces.give(size)

    async def _fetch_piece(self) -> None:
        """Fetch the texts of the next piece, as many as the client can take now. Events that are gone are left out."""
        services, items = self._session.services, self._items
        end = _piece_end(items, self._piece_bytes)
        keys = [item for item in items[:end] if type(item) is Key]
        size = sum(key.size for key in keys)
        self._give_back()
        await services.pieces.take(size)
        self._held_bytes = size
        texts = await services.reads.texts(
            keys,
            self._session.audience,
            least=self._position,
            owner=self._session.owner,
            seconds=self._seconds_left(),
        )
        piece = [texts.get(item.id) if type(item) is Key else item for item in items[:end]]
        self._items = [*(text for text in piece if text is not None), *items[end:]]

    async def _rest_of_log(self) -> None:
        """Send the matching part of the log after the position, which is below the ring's floor, as much as the client
        can take.
        """
        services, subscription = self._session.services, self._subscription
        counters.seam_log_reads += 1
        try:
            batch = await services.primary.changes_after(self._position)
        except LogPruned:
            raise Failed("the query took too long to be continued, ask again") from None
        if batch is None:
            return
        ring = services.hub.intake.ring
        for change in batch.changes:
            if (
                type(change) is Added
                and not ring.is_gone(change.event, change.seq)
                and services.hub.may_receive(subscription, change.event)
            ):
                counters.deliveries += 1
                subscription.outbox.put(subscription.frame(change.event.json))
                if subscription.outbox.backlog_bytes > self._piece_bytes:
                    self._position = change.seq  # what follows may be gone when the client has read: it is read again
                    return
        self._position = batch.last

    # -- The answer ----------------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """Send what there is room for; True once the subscription is live, or closed.

        False: the client has to read first, or a text has to be fetched, or, after EOSE, the log has to be read, or the
        ring has more than is sent in one step.
        """
        subscription = self._subscription
        outbox, head = subscription.outbox, subscription.head
        while not self._eose:
            if subscription.closed:
                return True
            if outbox.backlog_bytes > self._piece_bytes:
                return False
            piece: Sequence[Any] = self._items
            if self._keyed or sum(map(len, piece)) > self._piece_bytes:
                piece = _texts(piece, self._piece_bytes)
                if not piece and self._items:
                    return False
            self._items = self._items[len(piece) :] if len(piece) < len(self._items) else ()
            counters.stored_sent += len(piece)
            frames = [head + text + b"]" for text in piece]
            if not self._items:
                frames.append(eose(self._subscription_id, self._end))
                self._eose = True
            self._begun = True
            outbox.put_all(frames)
        if not self._catch_up():
            return False
        self._no_timer()
        counters.queries_answered += 1
        query_answered("req", self._source, time.perf_counter() - self._since)
        return True

    def _catch_up(self) -> bool:
        """Send what came after the answer, as much as the client can take; True once the subscription is live."""
        subscription = self._subscription
        if subscription.outbox.backlog_bytes > self._piece_bytes:
            return False
        try:
            self._position = self._session.services.hub.release(subscription, self._position, self._piece_bytes)
        except OutOfReach:
            self._out_of_reach = True
            return False
        self._out_of_reach = False
        return self._is_live

    @property
    def _is_live(self) -> bool:
        return self._subscription.position != HELD

    def _no_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

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
        self._task = None  # the caller, which must not cancel itself
        session = self._session
        if session.subscriptions.holds(self._subscription_id, self):
            session.close_subscription(self._subscription_id)
            session.outbox.put(closed(self._subscription_id, error.text))


def _texts(items: Sequence[Item], most: int) -> Sequence[bytes]:
    """The texts before the first key, up to the one that reaches `most` bytes."""
    size = 0
    for count, item in enumerate(items):
        if size >= most or type(item) is Key:
            return items[:count]  # type: ignore[return-value]
        size += len(item)  # type: ignore[arg-type]
    return items  # type: ignore[return-value]


def _piece_end(items: Sequence[Item], most: int) -> int:
    """The number of events that make up `most` bytes; one at least, and none that goes beyond."""
    size = 0
    for count, item in enumerate(items):
        size += item.size if type(item) is Key else len(item)  # type: ignore[arg-type]
        if size > most and count:
            return count
    return len(items)

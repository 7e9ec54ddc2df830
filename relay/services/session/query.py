"""A REQ from its arrival until its subscription is live, or its failure.

The subscription is registered, held, before anything is looked up. If memory has the answer and the barrier allows it,
it is sent without a task, by callbacks, each of which ends the query if it fails; else a task fetches it.
"""

import asyncio
import logging
import time

from relay.metrics import counters, query_answered
from relay.protocol.errors import Failed, RelayError
from relay.protocol.messages import closed
from relay.services.session.fetcher import Fetcher
from relay.services.session.stored_answer import StoredAnswer

log = logging.getLogger("relay.session")


class Query(StoredAnswer):
    """What a session keeps for an open subscription: its answer, and what that waits for.

    One object, whose own state begins with `open`: every REQ would pay for a second one, or for a second initialiser.
    """

    __slots__ = ("_is_allowed", "_task", "_timer", "_waits_for_barrier")

    _task: asyncio.Task[None] | None
    _timer: asyncio.TimerHandle | None

    def open(self) -> None:
        """Hold the subscription, and answer it once every event before it on the connection is answered (01-E22).

        Raises RateLimited, with nothing changed, if its filters take too much memory.
        """
        self._task = self._timer = None
        self._waits_for_barrier = False
        self._is_allowed = False  # memory holds everything acknowledged before the REQ
        session = self.session
        session.services.hub.open(self.subscription)
        counters.queries += 1
        if not session.pending.when_answered(self._begin) or self._waits():
            self._timer = asyncio.get_running_loop().call_later(self.seconds_left(), self._late)

    def stop(self) -> None:
        """The subscription was closed or replaced: send nothing more for it."""
        self.session.services.hub.close(self.subscription)
        if self._waits_for_barrier:
            self.session.services.barrier.leave(self._allow)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.session.pending.forget(self._begin)
        if self._task is not None:
            self._task.cancel()

    def _waits(self) -> bool:
        """True if neither a task nor the end of the query has come yet: callbacks of the barrier are waited for."""
        return self._task is None and not self.eose and not self.subscription.closed

    def _late(self) -> None:
        self.session.pending.forget(self._begin)
        self._fail(TimeoutError())

    def _begin(self) -> None:
        try:
            if self._look():
                self._waits_for_barrier = True
                self.session.services.barrier.join(self._allow)
            else:
                self._start()
        except Exception as error:
            self._fail(error)

    def _look(self) -> bool:
        """True if memory has the answer as of the changes that this process has applied."""
        services = self.session.services
        known = None
        if services.answers is not None:
            known = services.answers.known(self.subscription.filters, self.session.audience)
        if known is None:
            return False
        self.items, self.end = known.texts, known.end
        self.position, self.source = services.hub.position, "l1"
        self.keyed = False
        return True

    def _allow(self, number: int | None) -> None:
        """Everything acknowledged before the REQ lies up to `number`; None if that is not known."""
        self._waits_for_barrier = False
        if self.subscription.closed:
            return
        services = self.session.services
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
        if self.subscription.closed:
            return
        try:
            self._is_allowed = come
            is_found = come and (self.position == self.session.services.hub.position or self._look())
            if is_found and self.send():
                self._no_timer()
            else:
                self._start()
        except Exception as error:
            self._fail(error)

    def _start(self) -> None:
        """Answer from the store, or a client that has to read first."""
        self._no_timer()
        if not self.begun:
            self.items = ()  # not kept while waiting for the turn
        self._task = self.session.services.background.for_client(self._run(), "query")

    async def _run(self) -> None:
        """Answer when it is this query's turn on its connection, within its time (01-S11). Cancelling is safe."""
        fetcher = Fetcher(self)
        try:
            async with asyncio.timeout(self.seconds_left()) as fetcher.clock, self.session.queries:
                if not self.begun and not (self._is_allowed and self._look()):
                    await fetcher.fetch()
                while not self.send():
                    await fetcher.next()
                if fetcher.held_bytes:
                    await fetcher.room()
        except Exception as error:
            if not self.is_live:
                self._fail(error)
        finally:
            self._task = None
            fetcher.give_back()

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
        query_answered("req", "none", time.perf_counter() - self.since)
        self._task = None  # the caller, which must not cancel itself
        session = self.session
        if session.subscriptions.holds(self.subscription_id, self):
            session.close_subscription(self.subscription_id)
            session.outbox.put(closed(self.subscription_id, error.text))

"""REQ: stored events, EOSE, and from there on what is new (01-S03)."""

import asyncio
import logging
import time

from relay.metrics import counters, query_answered
from relay.protocol.errors import Failed, RelayError
from relay.protocol.messages import ReqMessage, closed, event_head
from relay.services.session.session import Session
from relay.subscriptions.hub import Subscription

log = logging.getLogger("relay.session")


def req(session: Session, message: ReqMessage) -> None:
    """Open the subscription, in the place of one with its id, and answer it; CLOSED at the limit (01-S07)."""
    counters.reqs += 1
    query = Query(session, message)
    try:
        replaced = session.subscriptions.open(message.subscription_id, query)
    except RelayError as error:
        counters.subscriptions_ended += 1
        session.outbox.put(closed(message.subscription_id, error.text))
        return
    if replaced is not None:
        replaced.stop()
    query.open()


class Query:
    """A REQ from its arrival until its subscription is live."""

    __slots__ = ("_deadline", "_session", "_since", "_subscription", "_subscription_id", "_task")

    def __init__(self, session: Session, message: ReqMessage) -> None:
        self._session = session
        self._subscription_id = message.subscription_id
        self._subscription = Subscription(session.outbox, event_head(message.subscription_id), message.filters)
        self._since = time.perf_counter()
        self._task: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Take what happens from now on into account, and answer when every event before this REQ is answered."""
        counters.queries += 1
        session = self._session
        session.services.hub.open(self._subscription)
        if len(session.pending):
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(session.services.config.query_seconds, self._late)
            session.pending.when_answered(self._begin)
        else:
            self._begin()

    def stop(self) -> None:
        """The subscription was closed or replaced: send nothing more for it."""
        self._session.services.hub.close(self._subscription)
        self._session.pending.forget(self._begin)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._task is not None:
            self._task.cancel()

    def _late(self) -> None:
        self._session.pending.forget(self._begin)
        self._fail(Failed("query timed out"))

    def _begin(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if not self._session.services.subscriber.begin(self._subscription_id, self._subscription, self):
            self.elsewhere()

    def answered(self, source: str) -> None:
        """Everything was sent from memory."""
        counters.queries_answered += 1
        query_answered("req", source, time.perf_counter() - self._since)

    def elsewhere(self) -> None:
        """The answer is not in memory after all."""
        self._task = self._session.services.background.job(self._answer(), "req")

    async def _answer(self) -> None:
        """Send what is stored, EOSE, and let the subscription be live; a query that fails ends it (01-S11)."""
        session = self._session
        try:
            async with asyncio.timeout(session.services.config.query_seconds):
                await session.queries.acquire()
            try:
                source = await session.services.subscriber.answer(self._subscription_id, self._subscription)
            finally:
                session.queries.release()
        except RelayError as error:
            self._fail(error)
        except TimeoutError:
            self._fail(Failed("query timed out"))
        except Exception:
            counters.internal_errors += 1
            log.exception("a query failed")
            self._fail(Failed("internal"))
        else:
            self._task = None
            self.answered(source)

    def _fail(self, error: RelayError) -> None:
        counters.queries_failed += 1
        query_answered("req", "none", time.perf_counter() - self._since)
        self._task = None
        session = self._session
        if session.subscriptions.holds(self._subscription_id, self):
            session.subscriptions.close(self._subscription_id)
            session.services.hub.close(self._subscription)
            session.outbox.put(closed(self._subscription_id, error.text))

"""One client's connection: its messages take effect in the order in which they came (01-E22).

Rule: an EVENT is answered when it is durable; a REQ sees every EVENT that came before it on this connection;
CLOSE leaves nothing open.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from functools import partial

from relay.conf import Config
from relay.metrics import counters, query_answered
from relay.protocol.errors import Failed, Invalid, RelayError
from relay.protocol.messages import (
    CloseMessage,
    EventMessage,
    Refused,
    ReqMessage,
    closed,
    event_head,
    notice,
    parse_message,
)
from relay.protocol.session import Subscriptions
from relay.services.publish import Publisher
from relay.services.subscribe import Subscriber
from relay.subscriptions.hub import Hub, Subscription
from relay.subscriptions.outbox import Flusher, Outbox, Wire

log = logging.getLogger("relay.conversation")

CONCURRENT_QUERIES = 4
"""Queries of one connection that run side by side;
more wait, so that one client's results bound the memory they take.
"""


SERVICE_RESTART = 1012
STOPPING = Failed("the relay is stopping, connect again").text


@dataclass(slots=True, frozen=True)
class Services:
    """What a conversation needs of its process."""

    config: Config
    hub: Hub
    flusher: Flusher
    publisher: Publisher
    subscriber: Subscriber


@dataclass(slots=True, eq=False)
class Open:
    """An open subscription, and the task that answers it until it is live."""

    subscription: Subscription
    task: "asyncio.Task[None] | None" = None
    since: float = field(default_factory=time.perf_counter)


@dataclass(slots=True, eq=False)
class Settling:
    """A REQ that waits for the events that were published before it."""

    events: set[str]
    done: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Conversation:
    """All that the relay keeps for one connection."""

    def __init__(self, services: Services, wire: Wire) -> None:
        self._services = services
        self._wire = wire
        self.outbox = Outbox(wire, services.flusher, services.config.max_outbox_bytes, self._overflowed)
        self._subscriptions: Subscriptions[Open] = Subscriptions(services.config.limits.max_subscriptions)
        self._queries = asyncio.Semaphore(CONCURRENT_QUERIES)
        self._pending: set[str] = set()
        self._repeats = 0
        self._settling: list[Settling] = []
        self._paused = False
        self._ended = False

    def receive(self, frame: bytes | str) -> None:
        """Take one text message; never raises."""
        if self._ended:
            return
        counters.messages += 1
        try:
            message = parse_message(frame, self._services.config.limits)
            if type(message) is EventMessage:
                self._publish(message)
            elif type(message) is ReqMessage:
                counters.reqs += 1
                self._subscribe(message)
            elif type(message) is CloseMessage:
                counters.closes += 1
                self._close(message.subscription_id)
        except Refused as refused:
            counters.refused(refused.reply)
            if refused.subscription_id is not None:
                self._close(refused.subscription_id)
            self.outbox.put(refused.reply)
        except Exception:
            counters.internal_errors += 1
            log.exception("a message could not be handled")
            counters.refusals["NOTICE"] += 1
            self.outbox.put(notice(Failed("internal").text))

    def receive_binary(self, frame: bytes) -> None:
        """A binary frame is not a message of the protocol (01-E21)."""
        if not self._ended:
            counters.messages += 1
            counters.refusals["NOTICE"] += 1
            self.outbox.put(notice(Invalid("binary messages are not understood").text))

    def _publish(self, message: EventMessage) -> None:
        key, answer = message.event.id, self._answered
        if key in self._pending:
            # The same event again before its first answer: both are answered, and a later REQ waits for both.
            self._repeats += 1
            key = f"{key} again {self._repeats}"
            answer = partial(self._answered_again, key)
        if self._services.publisher.publish(message.event, answer):
            self._pending.add(key)
            if len(self._pending) >= self._services.config.max_pending_events and not self._paused:
                self._paused = True
                self._wire.pause_reading()

    def _answered_again(self, key: str, _event_id: str, frame: bytes) -> None:
        self._answered(key, frame)

    def _answered(self, event_id: str, frame: bytes) -> None:
        self.outbox.put(frame)
        pending = self._pending
        pending.discard(event_id)
        if self._settling:
            self._settle(event_id)
        if self._paused and len(pending) * 2 <= self._services.config.max_pending_events:
            self._paused = False
            self._wire.resume_reading()

    def _settle(self, event_id: str) -> None:
        for waiting in self._settling:
            waiting.events.discard(event_id)
            if not waiting.events and not waiting.done.done():
                waiting.done.set_result(None)
        self._settling = [waiting for waiting in self._settling if waiting.events]

    def _subscribe(self, message: ReqMessage) -> None:
        subscription_id = message.subscription_id
        opened = Open(Subscription(self.outbox, event_head(subscription_id), message.filters))
        try:
            replaced = self._subscriptions.open(subscription_id, opened)
        except RelayError as error:
            counters.subscriptions_ended += 1
            self.outbox.put(closed(subscription_id, error.text))
            return
        if replaced is not None:
            self._stop(replaced)
        counters.queries += 1
        self._services.hub.open(opened.subscription)
        settling = None
        if self._pending:
            settling = Settling(set(self._pending))
            self._settling.append(settling)
        elif self._services.subscriber.begin(
            subscription_id, opened.subscription, _Asked(self, subscription_id, opened)
        ):
            return
        self._ask(subscription_id, opened, settling)

    def _ask(self, subscription_id: str, opened: Open, settling: Settling | None) -> None:
        opened.task = asyncio.get_running_loop().create_task(self._answer(subscription_id, opened, settling))

    async def _answer(self, subscription_id: str, opened: Open, settling: Settling | None) -> None:
        """Send what is stored, EOSE, and let the subscription be live; a query that fails ends it (01-S11)."""
        try:
            if settling is not None or self._queries.locked():
                await self._turn(settling)
            else:
                await self._queries.acquire()
            try:
                source = await self._services.subscriber.answer(subscription_id, opened.subscription)
            finally:
                self._queries.release()
        except RelayError as error:
            self._fail(subscription_id, opened, error)
        except TimeoutError:
            self._fail(subscription_id, opened, Failed("query timed out"))
        except Exception:
            counters.internal_errors += 1
            log.exception("a query failed")
            self._fail(subscription_id, opened, Failed("internal"))
        else:
            opened.task = None
            _answered(opened, source)

    async def _turn(self, settling: Settling | None) -> None:
        """Wait for the events before this query, and for its turn among the connection's queries."""
        async with asyncio.timeout(self._services.config.query_seconds):
            if settling is not None:
                await settling.done
            await self._queries.acquire()

    def _fail(self, subscription_id: str, opened: Open, error: RelayError) -> None:
        counters.queries_failed += 1
        query_answered("req", "none", time.perf_counter() - opened.since)
        opened.task = None
        if self._subscriptions.holds(subscription_id, opened):
            self._subscriptions.close(subscription_id)
            self._services.hub.close(opened.subscription)
            self.outbox.put(closed(subscription_id, error.text))

    def _close(self, subscription_id: str) -> None:
        opened = self._subscriptions.close(subscription_id)
        if opened is not None:
            self._stop(opened)

    def _stop(self, opened: Open) -> None:
        self._services.hub.close(opened.subscription)
        if opened.task is not None:
            opened.task.cancel()

    def _overflowed(self) -> None:
        counters.outbox_closures += 1
        self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        for opened in self._subscriptions.clear():
            self._stop(opened)

    def end(self) -> None:
        """The connection is gone: forget everything. Events on their way to the database are stored all the same."""
        self._end()
        self.outbox.close()

    def closed(self, code: int) -> None:
        """The transport ended the connection; at the server's shutdown the client can still be told why (01-S09)."""
        if code == SERVICE_RESTART:
            self._say_closed(STOPPING)
        self.end()

    def farewell(self, text: str, code: int) -> None:
        """The relay ends the connection: every subscription is told why, then it is closed in order (01-S09)."""
        if self._ended:
            return
        self._say_closed(text)
        self.end()
        self._wire.close(code, text)

    def _say_closed(self, text: str) -> None:
        for subscription_id in self._subscriptions:
            counters.subscriptions_ended += 1
            self.outbox.put(closed(subscription_id, text))
        self.outbox.flush()


def _answered(opened: Open, source: str) -> None:
    counters.queries_answered += 1
    query_answered("req", source, time.perf_counter() - opened.since)


class _Asked:
    """A REQ that waits to be answered from memory."""

    __slots__ = ("_conversation", "_opened", "_subscription_id")

    def __init__(self, conversation: Conversation, subscription_id: str, opened: Open) -> None:
        self._conversation = conversation
        self._subscription_id = subscription_id
        self._opened = opened

    def answered(self, source: str) -> None:
        _answered(self._opened, source)

    def elsewhere(self) -> None:
        self._conversation._ask(self._subscription_id, self._opened, None)

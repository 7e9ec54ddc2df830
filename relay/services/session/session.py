"""One client's session: its messages take effect in the order in which they came (01-E22).

Rule: an EVENT is answered when it is durable; a REQ sees every EVENT before it on this connection; CLOSE leaves nothing
open.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from msgspec import structs

from relay.background import BackgroundTasks
from relay.caching.answers import Answers
from relay.conf import Config
from relay.freshness.barrier import Barrier
from relay.ingest.ingest import Ingest
from relay.metrics import counters
from relay.policies.source import Source, SourceKind
from relay.protocol.audience import Audience
from relay.protocol.errors import AuthRequired, Blocked, Failed, Invalid, RateLimited
from relay.protocol.login import OwnPlaces
from relay.protocol.messages import Message, Refused, closed, notice, parse_message, refusal_of
from relay.protocol.subscriptions import Subscriptions
from relay.services.rates import Rates
from relay.services.session.budget import PieceBudget, piece_bytes
from relay.services.session.login import MAX_KEYS, Login
from relay.services.session.pending import Pending
from relay.services.session.rates import FAR_TOO_MANY, POLICY_VIOLATION, UNLIMITED, limits_of, refusal
from relay.services.session.reading import Reading
from relay.storage.primary import Primary
from relay.storage.reads import Reads
from relay.subscriptions.hub import Hub
from relay.subscriptions.kept import Kept
from relay.subscriptions.outbox import Flusher, Outbox, Wire
from relay.subscriptions.subscription import Reader

log = logging.getLogger("relay.session")

CONCURRENT_QUERIES = 4
"""Queries of one connection that run at a time; more wait, so that one client's results are bounded in memory."""

SERVICE_RESTART = 1012
STOPPING = Failed("the relay is stopping, connect again").text
LOG_IN_TO_READ = "log in to read"

Handler = Callable[["Session", Any], None]
"""Handles the messages of one verb: answers now, or starts what will answer."""


@dataclass(slots=True, frozen=True)
class Services:
    """The parts of the process that a session uses. Without `answers` PostgreSQL is queried each time."""

    config: Config
    handlers: Mapping[type[Message], Handler]
    hub: Hub
    flusher: Flusher
    ingest: Ingest
    primary: Primary
    reads: Reads
    answers: Answers | None
    barrier: Barrier
    background: BackgroundTasks
    pieces: PieceBudget
    own_places: OwnPlaces
    rates: Rates = field(default_factory=Rates)
    is_banned: Callable[[str], bool] = lambda key: False


class Open(Protocol):
    """What a verb keeps for an open subscription."""

    def stop(self) -> None:
        """It has ended: send nothing more for it."""


class Session:
    """The state of one connection; the verbs work on it.

    `source` is the client as a source of events; a login replaces it. `owner` is in whose turn its events
    and queries have the database (`relay.services.connections`).
    """

    def __init__(self, services: Services, wire: Wire, address: str, owner: str) -> None:
        config = services.config
        self.services = services
        self.owner = owner
        reading = Reading(wire)
        self.rates = limits_of(services.rates, address, reading, self._far_above_limits)
        self.source = Source(SourceKind.CLIENT, address, owner=owner, limited=self.rates is not UNLIMITED)
        self.reader = Reader(kept=Kept(config.max_filter_bytes, services.hub.kept))
        self.login = Login()
        self.outbox = Outbox(wire, services.flusher, config.max_outbox_bytes, self._overflowed)
        self.subscriptions: Subscriptions[Open] = Subscriptions(config.limits.max_subscriptions)
        self.pending = Pending(reading, config.max_pending_events)
        self.queries = asyncio.Semaphore(CONCURRENT_QUERIES)
        self.piece_bytes = piece_bytes(config.max_outbox_bytes)
        self.number = 0
        """Of this connection in its process."""
        self.since = time.time()
        self.messages = 0
        self.bytes_in = 0
        self._wire = wire
        self._reading = reading
        self._finishing = False
        self._ended = False

    @property
    def audience(self) -> Audience:
        """The keys that the client has proved, on which depends what it may read."""
        return self.reader.audience

    def greet(self) -> None:
        """Send the challenge, to be called when the connection is open: some clients log in only if they are asked."""
        self.login.send(self.outbox)

    def prove(self, key: str) -> None:
        """The client has proved that it holds `key`: from now on it may publish and read as that key, too (42-3, 42-8).

        Raises RateLimited, with nothing changed, if it has proved too many (42-9), Blocked if the key is banned.
        """
        if self.services.is_banned(key):
            raise Blocked("this public key is banned here")
        keys = self.audience.keys
        if key in keys:
            return
        if len(keys) >= MAX_KEYS:
            raise RateLimited(f"a connection may log in with up to {MAX_KEYS} keys")
        if not keys:
            counters.authenticated_begun += 1
        self.reader.audience = Audience.of(keys | {key})
        self.source = structs.replace(self.source, proved=self.audience.keys)

    def disown(self, is_banned: Callable[[str], bool]) -> None:
        """Take the rights of banned keys from this connection; those of its other keys stay (42-10)."""
        keys = frozenset(key for key in self.source.proved if not is_banned(key))
        if self._ended or keys == self.source.proved:
            return
        self.reader.audience = Audience.of(keys)
        self.source = structs.replace(self.source, proved=keys)
        if not keys:
            counters.authenticated_ended += 1
            if self.services.config.limits.auth_to_read and len(self.subscriptions):
                self.login.ask(self.outbox)
                self._end_subscriptions(AuthRequired(LOG_IN_TO_READ).text)

    def receive(self, frame: bytes | str) -> None:
        """Handle one text message; never raises."""
        if self._ended:
            return
        counters.messages += 1
        self.messages += 1
        self.bytes_in += len(frame)
        if not self.rates.message(len(frame)) and self._refuse_unread(frame):
            return
        try:
            message = parse_message(frame, self.services.config.limits)
            self.services.handlers[type(message)](self, message)
        except Refused as refused:
            counters.refused(refused.reply)
            if refused.subscription_id is not None:
                self.close_subscription(refused.subscription_id)
            self.outbox.put(refused.reply)
        except Exception:
            counters.internal_errors += 1
            log.exception("a message could not be handled")
            counters.refusals["NOTICE"] += 1
            self.outbox.put(notice(Failed("internal").text))

    def receive_binary(self, frame: bytes) -> None:
        """Refuse a binary frame, which the protocol does not have (01-E21)."""
        if not self._ended:
            counters.messages += 1
            self.rates.message(len(frame))
            counters.refusals["NOTICE"] += 1
            self.outbox.put(notice(Invalid("binary messages are not understood").text))

    def receive_too_large(self, beginning: bytes) -> None:
        """Refuse a message above the length limit by its id, if it can be read (01-E19). The transport closes next."""
        limit = Invalid(f"a message may have at most {self.services.config.limits.max_message_length} bytes")
        refused = refusal_of(beginning, limit.text)
        if not self._ended and not refused.reply.startswith(b'["NOTICE"'):
            counters.messages += 1
            if refused.is_unread_event:
                counters.rejections["invalid"] += 1
            else:
                counters.refused(refused.reply)
            self.outbox.put(refused.reply)
            self.outbox.flush()

    def _refuse_unread(self, frame: bytes | str) -> bool:
        """Answer a message above the limit; False if it is to be handled all the same."""
        refused = refusal(frame)
        if refused is None:
            return False
        if refused.is_unread_event:
            counters.events_received += 1
            counters.rejections["rate-limited"] += 1
        else:
            counters.refused(refused.reply)
        if refused.subscription_id is not None:
            self.close_subscription(refused.subscription_id)
        self.outbox.put(refused.reply)
        return True

    def _far_above_limits(self) -> None:
        """Disconnect a client that has ignored the refusals for a minute."""
        if not self._ended:
            self.outbox.put(notice(FAR_TOO_MANY))
            self.close(FAR_TOO_MANY, POLICY_VIOLATION)

    def close_subscription(self, subscription_id: str) -> None:
        """End a subscription without a message; no error if it is not open."""
        opened = self.subscriptions.close(subscription_id)
        if opened is not None:
            opened.stop()

    def _overflowed(self) -> None:
        counters.outbox_closures += 1
        self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self.rates.leave()
        if self.audience:
            counters.authenticated_ended += 1
        for opened in self.subscriptions.clear():
            opened.stop()

    def end(self) -> None:
        """Forget the connection, which has ended. Events in the writer's queue are stored all the same."""
        self._end()
        self.outbox.close()

    def closed(self, code: int) -> None:
        """The transport has closed the connection; during the server's shutdown CLOSED can still be sent (01-S09)."""
        if code == SERVICE_RESTART:
            self._send_closed(STOPPING)
        self.end()

    def close(self, text: str, code: int) -> None:
        """Close the connection in order: CLOSED with `text` for every subscription first (01-S09)."""
        if self._ended:
            return
        self._send_closed(text)
        self.end()
        self._wire.close(code, text)

    def suspend(self, text: str) -> None:
        """End every subscription with CLOSED `text`, and read no further message until `resume`."""
        self._reading.pause_reading()
        self._end_subscriptions(text)

    def resume(self) -> None:
        """Read messages again; once for each `suspend`."""
        if not self._ended:
            self._reading.resume_reading()

    @property
    def is_closing(self) -> bool:
        """Whether it is closed, or will be when its events are answered."""
        return self._finishing or self._ended

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is sent."""
        return self._ended

    def close_when_answered(self, text: str, code: int) -> None:
        """As `close`, once every event that has come is answered; no further message is read."""
        if self.is_closing:
            return
        self._finishing = True
        self._reading.pause_reading()
        self.pending.when_answered(partial(self.close, text, code))

    def _end_subscriptions(self, text: str) -> None:
        self._send_closed(text)
        for opened in self.subscriptions.clear():
            opened.stop()

    def _send_closed(self, text: str) -> None:
        for subscription_id in self.subscriptions:
            counters.subscriptions_ended += 1
            self.outbox.put(closed(subscription_id, text))
        self.outbox.flush()

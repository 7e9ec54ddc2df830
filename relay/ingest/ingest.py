"""From a parsed event to its outcome: the one admission pipeline of every write path (X-2).

Order: cheap policies, known id, hash, signature, costly policies, writer. An event is accepted only after COMMIT
(01-E20).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from relay.changes.ring import Ring
from relay.ingest.judgements import UNAVAILABLE, Judgements
from relay.ingest.outcome import DELETED, DUPLICATE, EPHEMERAL, FAILED, OUTDATED, SHADOWED, STORED, Outcome, Status
from relay.ingest.recent_ids import RecentIds
from relay.metrics import counters
from relay.policies.admission import AFTER_SIGNATURE, BEFORE_SIGNATURE, Context, check
from relay.policies.lists import Lists
from relay.policies.source import Source, SourceKind
from relay.policies.verdict import Verdict
from relay.protocol import kinds
from relay.protocol.errors import Invalid, RelayError
from relay.protocol.event import Event, StoredEvent
from relay.protocol.limits import Limits
from relay.protocol.removal import Place
from relay.protocol.shape import check_shape
from relay.storage.batch import Entry
from relay.storage.write_result import WriteOutcome
from relay.storage.writer import Writer
from relay.subscriptions.bus import Bus
from relay.subscriptions.hub import Hub

log = logging.getLogger("relay.ingest")

BATCH_IN_FLIGHT = 200
"""Events of one batch that wait for the database at a time; they share the writer's queue with clients' events."""

MAX_JOINED = 10_000
"""Copies of pending events that wait without a place in the writer's queue; further ones take one."""

ANSWERS_AT_ONCE = 500
"""How many joined copies are answered in one step of the loop: 5 ms."""

BATCH_TURN_SECONDS = 0.005
"""How long a batch runs before it yields to the event loop: checking an event takes about 0.1 ms."""

Then = Callable[[Outcome], None]
"""Called once with the outcome."""

_OF_WRITER = {
    WriteOutcome.STORED: STORED,
    WriteOutcome.DUPLICATE: DUPLICATE,
    WriteOutcome.OUTDATED: OUTDATED,
    WriteOutcome.DELETED: DELETED,
    WriteOutcome.FAILED: FAILED,
}


class Ingest:
    """The pipeline of one process."""

    def __init__(
        self,
        limits: Limits,
        ring: Callable[[], Ring],
        writer: Writer,
        hub: Hub,
        bus: Bus,
        *,
        is_current: Callable[[int], bool],
        own_places: frozenset[Place] = frozenset(),
        refusal_of_author: Callable[[Source, Event], RelayError | None] = lambda source, event: None,
        lists: Lists | None = None,
        judgements: Judgements | None = None,
    ) -> None:
        """`lists`: the operators', by default empty. `judgements`: the operator's own policies, None without any.

        `own_places`: the addresses of this relay, which requests to vanish name (62-1).

        `is_current(position)`: True if no process has acknowledged anything after `position`, and every process can
        know of `position`. Only then may an event in the ring be called a duplicate without asking the database:
        another process may have acknowledged its removal, or not yet know of the event. Returning False is always safe.
        `refusal_of_author` charges the author of an event with a valid signature (relay.services.rates).
        """
        self._limits = limits
        self._ring = ring
        self._writer = writer
        self._hub = hub
        self._bus = bus
        self._is_current = is_current
        self._refusal_of_author = refusal_of_author
        self._recent = RecentIds()
        self._recent_wraps = RecentIds()
        self._pending: dict[str, _Pending] = {}
        self._joined = 0
        self.own_places = own_places
        self._judgements = judgements
        self._lists = Lists() if lists is None else lists

    async def one(self, event: Event, source: Source) -> Outcome:
        """Submit one event and wait. If cancelled, its outcome is unknown."""
        result: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        outcome = self.submit(event, source, lambda later: None if result.done() else result.set_result(later))
        return await result if outcome is None else outcome

    async def batch(self, events: Iterable[Event], source: Source) -> list[Outcome]:
        """Submit events, at most BATCH_IN_FLIGHT at a time; their outcomes, in the order of `events`.

        Versions of an address are decided in that order too. If cancelled, the outcomes of submitted events are
        unknown.
        """
        outcomes: list[Outcome | None] = []
        room = asyncio.Semaphore(BATCH_IN_FLIGHT)

        def landed(number: int, outcome: Outcome) -> None:
            outcomes[number] = outcome
            room.release()

        turn_ends = time.monotonic() + BATCH_TURN_SECONDS
        for number, event in enumerate(events):
            await room.acquire()
            outcomes.append(None)
            outcome = self.submit(event, source, partial(landed, number))
            if outcome is not None:
                landed(number, outcome)
            if time.monotonic() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + BATCH_TURN_SECONDS
        for _ in range(BATCH_IN_FLIGHT):
            await room.acquire()
        return [outcome for outcome in outcomes if outcome is not None]

    def submit(self, event: Event, source: Source, then: Then) -> Outcome | None:
        """The outcome, if it is known at once; otherwise None, and `then` is called with it later."""
        counters.events_received += 1
        try:
            stored = self._admitted(event, source)
            if stored is None:
                return _counted(DUPLICATE)
            if self._judgements is not None and self._needs_verdict(event, source):
                self._judgements.submit(event, stored, source, partial(self._judged, event, stored, source, then))
                return None
            outcome = self._accept(event, stored, source, then)
            return outcome if outcome is None else _counted(outcome)
        except RelayError as error:
            return _counted(Outcome.of(error))

    def _needs_verdict(self, event: Event, source: Source) -> bool:
        """Whether the operator's own policy is asked: not for a request to vanish (62-4), nor for what the relay itself
        publishes, nor for a copy of an event that was accepted and waits for the database.
        """
        return not (event.kind == kinds.VANISH or source.kind is SourceKind.ADMIN or event.id in self._pending)

    def _judged(self, event: Event, stored: StoredEvent, source: Source, then: Then, verdict: Verdict) -> None:
        outcome: Outcome | None
        if verdict.shadow:
            outcome = SHADOWED
        elif not verdict.accepted:
            outcome = Outcome(Status.FAILED if verdict.text == UNAVAILABLE else Status.REFUSED, verdict.text)
        else:
            try:
                outcome = self._accept(event, stored, source, then)
            except RelayError as error:
                outcome = Outcome.of(error)
        if outcome is not None:
            _deliver(then, outcome)

    def _accept(self, event: Event, stored: StoredEvent, source: Source, then: Then) -> Outcome | None:
        """Deliver or queue an event that every policy accepts. Raises Failed if the queue is full."""
        if kinds.is_ephemeral(event.kind):
            if not self._is_new_ephemeral(stored):
                return DUPLICATE
            self._hub.deliver_ephemeral(stored)
            self._bus.publish_ephemeral(stored, source.origin)
            return EPHEMERAL
        pending = self._pending.get(event.id)
        if pending is not None and pending.event.json == stored.json and self._joined < MAX_JOINED:
            pending.waiting.append(then)
            self._joined += 1
            return None
        entry = Entry.of(event, stored, source.origin, self.own_places)
        pending = _Pending(stored, then)
        self._writer.submit(entry, partial(self._settled, pending), source.owner)
        self._pending[event.id] = pending
        return None

    def ephemeral_from_bus(self, event: StoredEvent) -> None:
        """Deliver an ephemeral event that another process accepted, unless it was delivered here."""
        if self._is_new_ephemeral(event):
            self._hub.deliver_ephemeral(event)

    def _is_new_ephemeral(self, event: StoredEvent) -> bool:
        recent = self._recent_wraps if event.kind in kinds.ONE_TIME_KEYS else self._recent
        return recent.add(event.id)

    def _settled(self, pending: "_Pending", entry: Entry, result: WriteOutcome) -> None:
        """The first copy of the event gets the result; copies that joined it are duplicates of what was stored."""
        if self._pending.get(entry.event.id) is pending:
            del self._pending[entry.event.id]
        self._joined -= len(pending.waiting) - 1
        outcome = _OF_WRITER[result]
        first, *joined = pending.waiting
        _deliver(first, outcome)
        if joined:
            _deliver_all(joined, DUPLICATE if outcome is STORED else outcome)

    def _admitted(self, event: Event, source: Source) -> StoredEvent | None:
        """The event as it will be stored; None for a known one. Raises RelayError if it is refused."""
        context = Context(self._limits, int(time.time()), source, self._lists)
        if source.kind is not SourceKind.CLIENT:  # the message parser has checked it
            check_shape(event, self._limits)
        check(BEFORE_SIGNATURE, context, event)
        ring = self._ring()
        known = ring.event(event.id)
        if known is not None and known.json == event.json:  # 01-E18: equal bytes were checked before
            return None if self._is_current(ring.position) else known
        pending = self._pending.get(event.id)
        if pending is not None and pending.event.json == event.json:
            return pending.event
        if not source.verified:
            if not event.has_valid_id():
                raise Invalid("the id is not the hash of the event")
            if not source.trusted and not event.has_valid_signature():
                raise Invalid("the signature is not the author's")
        objection = self._refusal_of_author(source, event)
        if objection is not None:
            raise objection
        check(AFTER_SIGNATURE, context, event)
        return StoredEvent.of(event)


class _Pending:
    """An event that waits for the database, and who is to be told: the first copy, then those that joined it."""

    __slots__ = ("event", "waiting")

    def __init__(self, event: StoredEvent, then: Then) -> None:
        self.event = event
        self.waiting = [then]


def _deliver(then: Then, outcome: Outcome) -> None:
    _counted(outcome)
    try:
        then(outcome)
    except Exception:  # it must not affect the other events of the transaction
        counters.internal_errors += 1
        log.exception("an outcome was not delivered")


def _deliver_all(waiting: Sequence[Then], outcome: Outcome) -> None:
    for then in waiting[:ANSWERS_AT_ONCE]:
        _deliver(then, outcome)
    if rest := waiting[ANSWERS_AT_ONCE:]:
        asyncio.get_running_loop().call_soon(_deliver_all, rest, outcome)


def _counted(outcome: Outcome) -> Outcome:
    match outcome.status:
        case Status.STORED:
            counters.events_stored += 1
        case Status.DUPLICATE:
            counters.events_duplicate += 1
        case Status.EPHEMERAL:
            counters.events_ephemeral += 1
        case Status.SHADOWED:
            counters.events_shadowed += 1
        case _:
            counters.rejections[outcome.prefix] += 1
    return outcome

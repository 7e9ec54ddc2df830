"""EVENT: from a parsed event to its answer. The one admission pipeline of every write path (X-2).

Order: what costs nothing first, the signature last, then the writer; `OK true` only after COMMIT (01-E20).
"""

import time
from collections.abc import Callable

from relay.changes.ring import Ring
from relay.metrics import counters, ok_latency
from relay.policies.admission import Context, first_objection
from relay.protocol import kinds
from relay.protocol.errors import Duplicate, Failed, Invalid, RelayError
from relay.protocol.event import Event, StoredEvent, address
from relay.protocol.limits import Limits
from relay.protocol.messages import ok
from relay.storage.batch import Entry
from relay.storage.writer import Writer
from relay.storage.written import Outcome
from relay.subscriptions.bus import Bus
from relay.subscriptions.hub import Hub

Answer = Callable[[str, bytes], None]
"""Given the event's id and the OK frame, once."""

_KNOWN = Duplicate("already have this event").text
_OUTDATED = Duplicate("have newer event").text
_FAILED = Failed("the event could not be stored, try again").text


class Publisher:
    """Admits events and hands them to the writer, or, ephemeral ones, to whoever listens."""

    def __init__(
        self,
        limits: Limits,
        ring: Callable[[], Ring],
        writer: Writer,
        hub: Hub,
        bus: Bus,
        *,
        announce_known: Callable[[int], bool],
    ) -> None:
        """`announce_known` makes sure that every process can know of a position; False if that takes the database. An
        event that is known here was perhaps not announced where it came from.
        """
        self._announce_known = announce_known
        self._limits = limits
        self._ring = ring
        self._writer = writer
        self._hub = hub
        self._bus = bus

    def publish(self, event: Event, answer: Answer) -> bool:
        """Admit an event; True if `answer` will be called later, False if it was called already."""
        counters.events_received += 1
        since = time.perf_counter()
        try:
            stored = self.admit(event)
            known = self._ring().event(event.id)
            if known is stored and self._announce_known(self._ring().position):
                counters.events_duplicate += 1
                answer(event.id, ok(event.id, True, _KNOWN))
                return False
            if kinds.is_ephemeral(event.kind):
                counters.events_ephemeral += 1
                self._hub.deliver_ephemeral(stored)
                self._bus.publish_ephemeral(stored)
                answer(event.id, ok(event.id, True))
                return False
            place = address(event)
            self._writer.submit(
                Entry(stored, place[2] if place else None),
                lambda entry, outcome: answer(entry.event.id, _answer(entry.event.id, outcome, since)),
            )
        except RelayError as error:
            counters.rejections[error.prefix] += 1
            answer(event.id, ok(event.id, False, error.text))
            return False
        return True

    def admit(self, event: Event) -> StoredEvent:
        """The event as it will be stored; as it is stored, if just this event was among the newest changes.

        Raises RelayError to refuse it.
        """
        objection = first_objection(Context(self._limits, int(time.time())), event)
        if objection is not None:
            raise objection
        known = self._ring().event(event.id)
        if known is not None and known.json == event.json:
            return known  # 01-E18: the same bytes were checked before
        if not event.has_valid_id():
            raise Invalid("the id is not the hash of the event")
        if not event.has_valid_signature():
            raise Invalid("the signature is not the author's")
        return StoredEvent.of(event)


def _answer(event_id: str, outcome: Outcome, since: float) -> bytes:
    ok_latency.observe(time.perf_counter() - since)
    if outcome is Outcome.STORED:
        counters.events_stored += 1
        return b'["OK","%b",true,""]' % event_id.encode()
    if outcome is Outcome.DUPLICATE:
        counters.events_duplicate += 1
        return ok(event_id, True, _KNOWN)
    counters.rejections["duplicate" if outcome is Outcome.OUTDATED else "error"] += 1
    return ok(event_id, False, _OUTDATED if outcome is Outcome.OUTDATED else _FAILED)

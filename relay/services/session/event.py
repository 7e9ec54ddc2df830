"""EVENT: publish an event; answered with OK when it is durable (01-E20)."""

import time
from functools import partial

from relay.ingest.outcome import STORED, Outcome
from relay.metrics import counters, ok_latency
from relay.protocol.errors import Prefix
from relay.protocol.messages import EventMessage, ok
from relay.services.session.rates import TOO_MANY
from relay.services.session.session import Session


def event(session: Session, message: EventMessage) -> None:
    """Submit the event; its OK is sent at once, or when the database has it."""
    event_id = message.event.id
    if not session.rates.event(message.event.kind):
        counters.events_received += 1
        counters.rejections["rate-limited"] += 1
        session.outbox.put(ok(event_id, False, TOO_MANY))
        return
    then = partial(_stored, session, event_id, session.pending.next, time.perf_counter())
    outcome = session.services.ingest.submit(message.event, session.source, then)
    if outcome is None:
        session.pending.add()
    else:
        _send(session, event_id, outcome)


def _stored(session: Session, event_id: str, number: int, since: float, outcome: Outcome) -> None:
    ok_latency.observe(time.perf_counter() - since)
    _send(session, event_id, outcome)
    session.pending.answered(number)


def _send(session: Session, event_id: str, outcome: Outcome) -> None:
    """The OK, after the challenge if it asks for a login (42-5)."""
    if outcome is not STORED and outcome.prefix == Prefix.AUTH_REQUIRED:
        session.login.ask(session.outbox)
    session.outbox.put(answer(event_id, outcome))


def answer(event_id: str, outcome: Outcome) -> bytes:
    """The OK frame of an outcome."""
    if outcome is STORED:
        return b'["OK","%b",true,""]' % event_id.encode()
    return ok(event_id, outcome.accepted, outcome.text)

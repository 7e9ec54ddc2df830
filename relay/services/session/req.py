"""REQ: open a subscription, replacing one with the same id, and answer it."""

from relay.metrics import counters
from relay.protocol.errors import AuthRequired, RelayError
from relay.protocol.messages import ReqMessage, closed
from relay.protocol.visibility import why_unreadable
from relay.services.session.query import Query
from relay.services.session.rates import TOO_MANY
from relay.services.session.session import LOG_IN_TO_READ, Session


def req(session: Session, message: ReqMessage) -> None:
    """Send stored events, EOSE and new events (01-S03).

    CLOSED if there are too many subscriptions (01-S07), if their filters take too much memory, or above the rate
    of questions; that ends an open subscription with this id, too.
    """
    counters.reqs += 1
    if not session.rates.question():
        counters.subscriptions_ended += 1
        session.close_subscription(message.subscription_id)
        session.outbox.put(closed(message.subscription_id, TOO_MANY))
        return
    objection = _objection(session, message)
    if objection is not None:
        _refuse(session, message.subscription_id, objection)
        return
    query = Query(session, message)
    try:
        replaced = session.subscriptions.open(message.subscription_id, query)
        if replaced is not None:
            replaced.stop()
        query.open()
    except RelayError as error:
        if session.subscriptions.holds(message.subscription_id, query):
            session.subscriptions.close(message.subscription_id)
            counters.filters_refused += 1
        counters.subscriptions_ended += 1
        session.outbox.put(closed(message.subscription_id, error.text))


def _objection(session: Session, message: ReqMessage) -> RelayError | None:
    """Why the client may not ask this, None if it may (42-7, 59-2)."""
    if session.services.config.limits.auth_to_read and not session.audience:
        return AuthRequired(LOG_IN_TO_READ)
    return why_unreadable(message.filters, session.audience)


def _refuse(session: Session, subscription_id: str, objection: RelayError) -> None:
    """CLOSED; an open subscription of this id ends, as with every refused REQ (01-S04)."""
    counters.subscriptions_ended += 1
    session.close_subscription(subscription_id)
    if isinstance(objection, AuthRequired):
        session.login.ask(session.outbox)
    session.outbox.put(closed(subscription_id, objection.text))

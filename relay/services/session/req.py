"""REQ: open a subscription, replacing one with the same id, and answer it."""

from relay.metrics import counters
from relay.protocol.errors import RelayError
from relay.protocol.messages import ReqMessage, closed
from relay.services.session.query import Query
from relay.services.session.rates import TOO_MANY
from relay.services.session.session import Session


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

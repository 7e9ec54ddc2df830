"""REQ: open a subscription, in the place of one with its id, and answer it."""

from relay.metrics import counters
from relay.protocol.errors import RelayError
from relay.protocol.messages import ReqMessage, closed
from relay.services.session.query import Query
from relay.services.session.session import Session


def req(session: Session, message: ReqMessage) -> None:
    """Stored events, EOSE and what is new (01-S03); CLOSED when there are too many subscriptions (01-S07)."""
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

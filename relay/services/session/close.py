"""CLOSE: end a subscription; there is no reply (01-S05)."""

from relay.metrics import counters
from relay.protocol.messages import CloseMessage
from relay.services.session.session import Session


def close(session: Session, message: CloseMessage) -> None:
    """End the subscription; an unknown id is no error."""
    counters.closes += 1
    session.close_subscription(message.subscription_id)

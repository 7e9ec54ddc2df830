"""EVENT: an event to be published; answered with OK when it is durable (01-E20)."""

from relay.protocol.messages import EventMessage
from relay.services.session.session import Session


def event(session: Session, message: EventMessage) -> None:
    """Publish the event; its OK comes at once or later."""
    later = _Answer(session)
    if session.services.publisher.publish(message.event, later.answered):
        later.number = session.pending.add()


class _Answer:
    __slots__ = ("number", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.number = -1  # until it is known that the answer comes later

    def answered(self, _event_id: str, frame: bytes) -> None:
        self.session.outbox.put(frame)
        if self.number >= 0:
            self.session.pending.answered(self.number)

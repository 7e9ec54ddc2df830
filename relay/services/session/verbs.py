"""The table of verbs: what a session does with each message. A new verb is one file and one line here, and its parser
one line in `relay.protocol.messages`.
"""

from relay.protocol.messages import CloseMessage, EventMessage, Message, ReqMessage
from relay.services.session.close import close
from relay.services.session.event import event
from relay.services.session.req import req
from relay.services.session.session import Handler

HANDLERS: dict[type[Message], Handler] = {
    EventMessage: event,
    ReqMessage: req,
    CloseMessage: close,
}

"""The table of verbs: the handler of each message. A new verb is one file, one line here, and a parser in
`relay.protocol.messages`.
"""

from relay.protocol.messages import AuthMessage, CloseMessage, EventMessage, Message, ReqMessage
from relay.services.session.auth import auth
from relay.services.session.close import close
from relay.services.session.event import event
from relay.services.session.req import req
from relay.services.session.session import Handler

HANDLERS: dict[type[Message], Handler] = {
    EventMessage: event,
    ReqMessage: req,
    CloseMessage: close,
    AuthMessage: auth,
}

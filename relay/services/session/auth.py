"""AUTH: a client proves a public key (NIP-42).

The signature is verified at once, as fast as that of an event, so messages after it take effect with the new key
(42-10). Earlier keys stay, whatever becomes of this login (42-3).
"""

import time

from relay.metrics import counters
from relay.protocol.errors import RelayError
from relay.protocol.login import check_login
from relay.protocol.messages import AuthMessage, ok
from relay.services.session.rates import TOO_MANY
from relay.services.session.session import Session


def auth(session: Session, message: AuthMessage) -> None:
    """Add the key to those that the connection has proved, and answer with OK."""
    event, login = message.event, session.login
    if not session.rates.sign_in():
        counters.logins_failed += 1
        session.outbox.put(ok(event.id, False, TOO_MANY))
        return
    try:
        login.check_rate()
        try:
            check_login(event, login.challenge, session.services.own_places, int(time.time()))
        except RelayError:
            login.failed()
            raise
        session.prove(event.pubkey)
    except RelayError as error:
        counters.logins_failed += 1
        session.outbox.put(ok(event.id, False, error.text))
        return
    counters.logins += 1
    session.outbox.put(ok(event.id, True))

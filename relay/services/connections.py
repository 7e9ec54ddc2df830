"""The client connections of a process: which are admitted, and the session of each."""

from collections.abc import Callable
from itertools import count

from relay.conf import Config
from relay.metrics import counters
from relay.protocol.errors import Failed
from relay.services.session.session import Services, Session
from relay.subscriptions.outbox import Wire
from relay.transport.admission import Admission, is_in, network_of


class Connections:
    """The sessions of a process; their number is `len`. Loop thread only."""

    def __init__(self, conf: Config, services: Services, unready: Callable[[], str | None]) -> None:
        """`unready` says why no client may connect now, None if clients may."""
        self._services = services
        self._unready = unready
        self._sessions: set[Session] = set()
        self._admission = Admission(conf.max_connections, conf.max_connections_per_ip, conf.ip_limit_exempt)
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._sessions)

    def admit(self, host: str | None) -> str:
        """Count a client from `host` (None: a Unix socket) before its handshake, so that simultaneous ones are seen.

        Returns its network; `leave` must be called with it. Raises Failed if no client, or not this one, may connect.
        """
        if (why := self._unready()) is not None:
            raise Failed(why)
        if self._admission.open >= self._admission.connections:
            raise Failed("the relay has too many connections")
        network = self._admission.enter(host)
        if network is None:
            raise Failed("too many connections from this address")
        return network

    def leave(self, network: str) -> None:
        """An admitted client has gone, or its handshake has failed."""
        self._admission.leave(network)

    def _owner(self, ip: str) -> str:
        """Who is charged for the queries of a connection: its network (relay.transport.admission.network_of). Behind an
        exempt address stand many clients: each of its connections is an owner.
        """
        network = network_of(ip)
        if ip and not is_in(network, self._admission.exempt):
            return network
        return f"{network} {next(self._numbers)}"

    def begin(self, wire: Wire, ip: str) -> Session:
        """Begin the session of an admitted client; it must be ended with `end`."""
        counters.connections_opened += 1
        session = Session(self._services, wire, ip, self._owner(ip))
        self._sessions.add(session)
        session.greet()
        return session

    def end(self, session: Session) -> None:
        """End a session, after its connection has ended."""
        session.end()
        self._sessions.discard(session)

    def close(self, text: str, code: int) -> None:
        """Close every connection, each subscription with CLOSED `text` (01-S09)."""
        for session in list(self._sessions):
            session.close(text, code)

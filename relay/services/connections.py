"""The client connections of a process: which are admitted, and the session of each."""

import ipaddress
from collections import Counter
from collections.abc import Callable
from itertools import count

from relay.conf import Config
from relay.metrics import counters
from relay.services.session.session import Services, Session
from relay.subscriptions.outbox import Wire


class Connections:
    """The sessions of a process; their number is `len`. Loop thread only."""

    def __init__(self, conf: Config, services: Services, unready: Callable[[], str | None]) -> None:
        """`unready` says why no client may connect now, None if clients may."""
        self._config = conf
        self._services = services
        self._unready = unready
        self._sessions: set[Session] = set()
        self._by_ip: Counter[str] = Counter()
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._sessions)

    def refusal(self, ip: str) -> str | None:
        """Why a client from `ip` may not connect now, None if it may."""
        if (why := self._unready()) is not None:
            return why
        if len(self._sessions) >= self._config.max_connections:
            return "the relay has too many connections"
        if self._by_ip[ip] >= self._config.max_connections_per_ip and not self._exempt(ip):
            return "too many connections from this address"
        return None

    def _exempt(self, ip: str) -> bool:
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return True  # a Unix socket has no address: its client is the operator's proxy
        return any(address in network for network in self._config.ip_limit_exempt)

    def _owner(self, ip: str) -> str:
        """Who is charged for the queries of a connection: the IPv4 address, or the IPv6 /64 network, which one
        subscriber has. Behind an exempt address stand many clients: each of its connections is an owner.
        """
        if self._exempt(ip):
            return f"{ip} {next(self._numbers)}"
        address = ipaddress.ip_address(ip)
        if isinstance(address, ipaddress.IPv4Address) or address.ipv4_mapped is not None:
            return ip
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))

    def begin(self, wire: Wire, ip: str) -> Session:
        """Begin a session; it must be ended with `end`."""
        counters.connections_opened += 1
        session = Session(self._services, wire, ip, self._owner(ip))
        self._sessions.add(session)
        self._by_ip[ip] += 1
        return session

    def end(self, session: Session, ip: str) -> None:
        """End a session, after its connection has ended."""
        session.end()
        self._sessions.discard(session)
        self._by_ip[ip] -= 1
        if not self._by_ip[ip]:
            del self._by_ip[ip]

    def close(self, text: str, code: int) -> None:
        """Close every connection, each subscription with CLOSED `text` (01-S09)."""
        for session in list(self._sessions):
            session.close(text, code)

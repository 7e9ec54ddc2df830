"""Which TCP connections a worker keeps: all kinds together, and for each client network. Pure.

A connection counts from its accept to its end, whether it is a WebSocket, HTTP or half a request head.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

SUBSCRIBER_PREFIX = 64
"""An IPv6 subscriber has at least a /64."""
UNKNOWN = "unknown"
"""The network of every client whose forwarded address is none (`X-Forwarded-For: unknown`): they share one limit."""

UNIX = "unix"
"""The address of clients of a Unix socket: the operator's own."""


@lru_cache(maxsize=4_096)
def network_of(host: str) -> str:
    """What counts as one client: an IPv4 address, an IPv6 /64 network, or UNKNOWN for any other text."""
    try:
        address = ip_address(host)
    except ValueError:
        return UNKNOWN
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), SUBSCRIBER_PREFIX), strict=False).network_address)


def address_of(host: str | None) -> str:
    """How a client's address is named; `host` is None for a Unix socket. What a proxy forwards must not pass for one,
    which has no limits.
    """
    if host is None:
        return UNIX
    return UNKNOWN if host in ("", UNIX) else host


@lru_cache(maxsize=4_096)
def is_in(host: str, networks: tuple[Network, ...]) -> bool:
    """Whether a client's address, not its /64, lies in one of `networks`; IPv4 in IPv6 is IPv4."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in each for each in networks)


@dataclass(slots=True)
class Admission:
    """The connections of one worker by network. Loop thread only.

    connections: bound of all kinds together. per_network: bound of each network outside `exempt`.
    """

    connections: int
    per_network: int
    exempt: tuple[Network, ...] = ()
    open: int = 0
    _by_network: dict[str, int] = field(default_factory=dict)

    def enter(self, host: str | None) -> str | None:
        """Count a new connection and return its network for `leave`; None, uncounted, if its network has too many.

        `host` is None for a Unix socket, whose client is the operator's proxy.
        """
        network = "" if host is None else network_of(host)
        count = self._by_network.get(network, 0)
        if count >= self.per_network and host is not None and not is_in(host, self.exempt):
            return None
        self._by_network[network] = count + 1
        self.open += 1
        return network

    def leave(self, network: str) -> None:
        """A counted connection has ended."""
        self.open -= 1
        self._by_network[network] -= 1
        if not self._by_network[network]:
            del self._by_network[network]

    @property
    def is_full(self) -> bool:
        """Whether one more connection than allowed is open."""
        return self.open > self.connections

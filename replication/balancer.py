"""What stands behind a balancer and how it is to behave: the values from which its configuration is made.

    Balancer(instances=(Instance("relay-1", "10.0.0.11", 8000),), certificate="/etc/haproxy/relay.pem")

`haproxy.py`, `nginx.py` and `caddy.py` make the text for their program. Rule: pure.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]", re.ASCII)
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.ASCII)
_PATH = re.compile(r"/[A-Za-z0-9_./@+:-]*", re.ASCII)
MAX_WEIGHT = 256
DEFAULT_WEIGHT = 100
OPERATORS_CONNECTIONS = 100
"""Kept for the operators' address, or a tenth of all if that is less: clients that take all leave these."""


class Balance(StrEnum):
    """How a client's instance is chosen."""

    LEASTCONN = "leastconn"
    """The one with the fewest connections: the right choice for connections that last."""
    SOURCE = "source"
    """By a consistent hash of the client's address: most clients find the same instance again."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One `manage.py serve` as the balancer reaches it. `backup`: used only when all others are down."""

    name: str
    host: str
    port: int
    weight: int = DEFAULT_WEIGHT
    backup: bool = False

    @classmethod
    def parse(cls, text: str) -> "Instance":
        """From NAME=HOST:PORT, with `,weight=N` and `,backup` after it. Raises ValueError."""
        address, *options = text.split(",")
        name, equals, place = address.partition("=")
        host, colon, port = place.rpartition(":")
        if not (equals and colon and _NAME.fullmatch(name) and _HOST.fullmatch(host)):
            raise ValueError(f"{text!r} is not NAME=HOST:PORT")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise ValueError(f"{text!r}: {port!r} is not a port")
        weight, backup = DEFAULT_WEIGHT, False
        for option in options:
            key, _, value = option.partition("=")
            if option == "backup":
                backup = True
            elif key == "weight" and value.isascii() and value.isdigit() and int(value) <= MAX_WEIGHT:
                weight = int(value)
            else:
                raise ValueError(f"{text!r}: {option!r} is neither weight=0 to weight={MAX_WEIGHT} nor backup")
        return cls(name, host, int(port), weight, backup)


@dataclass(frozen=True, slots=True)
class Balancer:
    """What the configuration says. Addresses as HOST:PORT, :PORT for all; times in seconds.

    Raises ValueError for what would be another configuration than the one meant.
    """

    instances: tuple[Instance, ...]
    bind: str = ""
    """The public address; empty: :443 with a certificate, :80 without."""
    certificate: str = ""
    """A PEM file with chain and key, or a folder of them; empty: no TLS."""
    operators_bind: str = "127.0.0.1:8404"
    """Where the admin, /metrics and the balancer's own figures are reached; the public address refuses them."""
    user: str = "haproxy"
    """User and group of HAProxy once its sockets are open; empty: those that started it."""
    stats_socket: str = "/run/haproxy/admin.sock"
    connections: int = 100_000
    """In all."""
    source_connections: int = 1_000
    """Of an IPv4 address or IPv6 /64, from their accept, whether they send anything or not; 0: no limit."""
    instance_connections: int = 20_000
    """As RELAY_MAX_CONNECTIONS times the workers of an instance."""
    balance: Balance = Balance.LEASTCONN
    tunnel_seconds: int = 7 * 86_400
    """A WebSocket without traffic is cut after it; the relay's pings are traffic."""
    requests: int = 100
    """HTTP requests of an IPv4 address or IPv6 /64 within `rate_seconds`; 0: no limit."""
    upgrades: int = 100
    """WebSockets opened by one within `rate_seconds`; 0: no limit."""
    rate_seconds: int = 10
    check_seconds: int = 5
    fall: int = 3
    rise: int = 2
    slow_start_seconds: int = 30
    hard_stop_seconds: int = 3_600
    """How long at most the old process keeps its connections after a reload."""
    accept_proxy: bool = False
    """The public address expects the PROXY protocol, from a balancer of TCP in front of this one."""

    def __post_init__(self) -> None:
        names = [instance.name for instance in self.instances]
        if not names:
            raise ValueError("there is no instance")
        if len(set(names)) < len(names):
            raise ValueError(f"two instances have the name {max(names, key=names.count)!r}")
        if all(instance.backup for instance in self.instances):
            raise ValueError("every instance is a backup")
        for path in (self.certificate, self.stats_socket):
            if path and not _PATH.fullmatch(path):
                raise ValueError(f"{path!r} is not an absolute path of plain characters")
        if self.user and not _USER.fullmatch(self.user):
            raise ValueError(f"{self.user!r} is not the name of a user")
        for address in (self.bind, self.operators_bind):
            if re.search(r"[\s#;{}'\"\\]", address):
                raise ValueError(f"{address!r} is not an address")

    @property
    def public_connections(self) -> int:
        """Of all clients."""
        return max(1, self.connections - min(OPERATORS_CONNECTIONS, self.connections // 10))

    @property
    def scheme(self) -> str:
        """What clients use."""
        return "https" if self.certificate else "http"

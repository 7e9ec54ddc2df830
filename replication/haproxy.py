"""The configuration of HAProxy (2.6 or newer) in front of the instances, from their list.

    Balancer(instances=(Instance("relay-1", "10.0.0.11", 8000),), certificate="/etc/haproxy/relay.pem")
    configuration(balancer)     # the text of haproxy.cfg

Rule: pure; the same values give the same text. `manage.py haproxy_config` prints it.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]", re.ASCII)
_PATH = re.compile(r"/[A-Za-z0-9_./@+:-]*", re.ASCII)
MAX_WEIGHT = 256


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
    weight: int = 100
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
        weight, backup = 100, False
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
    """What the configuration says. Addresses as HAProxy's `bind` takes them; times in seconds.

    Raises ValueError for what would be another configuration than the one meant.
    """

    instances: tuple[Instance, ...]
    bind: str = ""
    """The public address; empty: :443 with a certificate, :80 without."""
    certificate: str = ""
    """A PEM file with chain and key, or a folder of them; empty: no TLS."""
    operators_bind: str = "127.0.0.1:8404"
    """Where the admin, /metrics and HAProxy's own figures are reached; the public address refuses them."""
    stats_socket: str = "/run/haproxy/admin.sock"
    connections: int = 100_000
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
    """After a reload the old process keeps its connections for so long at most."""
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
        for address in (self.bind, self.operators_bind):
            if re.search(r"[\s#'\"\\]", address):
                raise ValueError(f"{address!r} is not an address")

    @property
    def scheme(self) -> str:
        """What clients use."""
        return "https" if self.certificate else "http"


def configuration(balancer: Balancer) -> str:
    """The text of haproxy.cfg."""
    parts = (_GLOBAL, _DEFAULTS, _tables(balancer), _frontend(balancer), _OPERATORS, _backend(balancer))
    return "\n".join(parts).format_map(_values(balancer))


def _values(balancer: Balancer) -> dict[str, object]:
    tls = f" ssl crt {balancer.certificate} alpn h2,http/1.1" if balancer.certificate else ""
    public = balancer.bind or (":443" if balancer.certificate else ":80")
    return {
        "connections": balancer.connections,
        "hard_stop": balancer.hard_stop_seconds,
        "socket": balancer.stats_socket,
        "tunnel": balancer.tunnel_seconds,
        "bind": f"{public}{tls}{' accept-proxy' if balancer.accept_proxy else ''}",
        "operators": balancer.operators_bind,
        "scheme": balancer.scheme,
        "rate_seconds": balancer.rate_seconds,
        "requests": balancer.requests,
        "upgrades": balancer.upgrades,
        "balance": "balance source\n    hash-type consistent"
        if balancer.balance is Balance.SOURCE
        else "balance leastconn",
        "check": balancer.check_seconds,
        "fall": balancer.fall,
        "rise": balancer.rise,
        "slow_start": balancer.slow_start_seconds,
        "instance_connections": balancer.instance_connections,
    }


_GLOBAL = """\
# Made by `manage.py haproxy_config`: change its options, not this file. Needs HAProxy 2.6 or newer.
global
    log stderr format raw daemon notice
    maxconn {connections}
    stats socket {socket} mode 660 level admin expose-fd listeners
    stats timeout 30s
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
    hard-stop-after {hard_stop}s
"""

_DEFAULTS = """\
defaults
    mode http
    log global
    option dontlognull
    option redispatch
    retries 2
    retry-on conn-failure
    timeout connect 2s
    timeout check 2s
    timeout queue 5s
    timeout http-request 10s
    timeout http-keep-alive 10s
    timeout client 60s
    timeout server 60s
    # A WebSocket: both directions are silent for so long. The relay pings more often.
    timeout tunnel {tunnel}s
    timeout client-fin 10s
    timeout server-fin 10s
"""


def _tables(balancer: Balancer) -> str:
    """One counter for each source; a table without a limit is left out."""
    tables = [
        f"backend rate_of_{name}\n"
        f"    stick-table type ipv6 size 500k expire {{rate_seconds}}s store http_req_rate({{rate_seconds}}s)\n"
        for name, limit in (("requests", balancer.requests), ("upgrades", balancer.upgrades))
        if limit
    ]
    return "\n".join(tables)


def _frontend(balancer: Balancer) -> str:
    lines = [
        "frontend public",
        "    bind {bind}",
        "    acl is_websocket hdr(Upgrade) -i websocket",
        "    # Decoded as the relay decodes it: /%61dmin/ is the admin as well.",
        "    acl is_for_operators path,url_dec -m beg /admin /metrics",
        "    http-request return status 404 if is_for_operators",
    ]
    for number, (name, limit, condition) in enumerate(
        (("requests", balancer.requests, "!is_websocket"), ("upgrades", balancer.upgrades, "is_websocket"))
    ):
        if limit:
            lines += [
                f"    http-request track-sc{number} src,ipmask(32,64) table rate_of_{name} if {condition}",
                f"    http-request return status 429 hdr Retry-After {{rate_seconds}}"
                f" if {condition} {{{{ sc_http_req_rate({number}) gt {{{name}}} }}}}",
            ]
    lines += [
        "    # Set, not added: what a client sends of these is a lie.",
        "    http-request set-header X-Forwarded-For %[src]",
        "    http-request set-header X-Forwarded-Proto {scheme}",
        "    default_backend instances",
    ]
    return "\n".join(lines) + "\n"


_OPERATORS = """\
# The admin, metrics and HAProxy's own page: from the operators' network alone.
frontend operators
    bind {operators}
    http-request use-service prometheus-exporter if {{ path /haproxy/metrics }}
    stats enable
    stats uri /haproxy
    stats refresh 5s
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto {scheme}
    default_backend instances
"""

_BACKEND = """\
backend instances
    {balance}
    option httpchk
    http-check send meth GET uri /ready ver HTTP/1.1 hdr Host relay hdr X-Forwarded-Proto {scheme}
    http-check expect status 200
    # 404: about to stop. No new clients, and those that are connected stay until the instance closes them.
    http-check disable-on-404
    # Connections of an instance that is down are ended: a frozen one would keep its clients for ever.
    default-server inter {check}s fastinter 1s fall {fall} rise {rise} slowstart {slow_start}s
    default-server maxconn {instance_connections} on-marked-down shutdown-sessions
"""


def _backend(balancer: Balancer) -> str:
    servers = [
        f"    server {one.name} {one.host}:{one.port} weight {one.weight} check{' backup' if one.backup else ''}\n"
        for one in balancer.instances
    ]
    return _BACKEND + "".join(servers)

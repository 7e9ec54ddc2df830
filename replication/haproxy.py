"""The configuration of HAProxy (2.6 or newer) in front of the instances, from their list.

Rule: pure; the same values give the same text. `manage.py haproxy_config` prints it.
"""

from replication.balancer import Balance, Balancer, Instance
from replication.wire import CONTENT_BYTES

__all__ = ["Balance", "Balancer", "Instance", "configuration"]


def configuration(balancer: Balancer) -> str:
    """The text of haproxy.cfg."""
    parts = (_GLOBAL, _DEFAULTS, _tables(balancer), _frontend(balancer), _OPERATORS, _backend(balancer))
    return "\n".join(parts).format_map(_values(balancer))


def _values(balancer: Balancer) -> dict[str, object]:
    tls = f" ssl crt {balancer.certificate} alpn h2,http/1.1" if balancer.certificate else ""
    public = balancer.bind or (":443" if balancer.certificate else ":80")
    return {
        "connections": balancer.connections,
        "public_connections": balancer.public_connections,
        "source_connections": balancer.source_connections,
        "hard_stop": balancer.hard_stop_seconds,
        "socket": balancer.stats_socket,
        "tunnel": balancer.tunnel_seconds,
        "identity": f"    user {balancer.user}\n    group {balancer.user}\n" if balancer.user else "",
        "bind": _binds(public, f"{tls}{' accept-proxy' if balancer.accept_proxy else ''}"),
        "operators": _binds(balancer.operators_bind),
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


def _binds(address: str, tail: str = "") -> str:
    """The arguments of `bind`; `:PORT` is all of IPv4 and of IPv6, which HAProxy takes for IPv4 alone."""
    places = [address, f"[::]{address} v6only"] if address.startswith(":") else [address]
    return "\n    bind ".join(f"{place}{tail}" for place in places)


_GLOBAL = """\
# Made by `manage.py haproxy_config`: change its options, not this file. Needs HAProxy 2.6 or newer.
global
    log stderr format raw daemon notice
{identity}    maxconn {connections}
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
    """One counter for each source and limit; a table without a limit is left out."""
    tables = (
        ["backend connections_of\n    stick-table type ipv6 size 500k expire 10s store conn_cur\n"]
        if balancer.source_connections
        else []
    )
    tables += [
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
        "    # The others are for the operators' address.",
        "    maxconn {public_connections}",
        *_of_a_source(balancer),
        "    acl is_websocket hdr(Upgrade) -i websocket",
        "    # Other regions ask often, and are known by their signature.",
        f"    acl is_for_peers path {' '.join(CONTENT_BYTES)}",
        "    # Decoded as the relay decodes it: /%61dmin/ is the admin as well.",
        "    acl is_for_operators path,url_dec -m beg /admin /metrics",
        "    http-request return status 404 if is_for_operators",
    ]
    for number, (name, limit, condition) in enumerate(
        (
            ("requests", balancer.requests, "!is_websocket !is_for_peers"),
            ("upgrades", balancer.upgrades, "is_websocket"),
        )
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


def _of_a_source(balancer: Balancer) -> list[str]:
    """Cuts what one source holds beyond its limit, before TLS: most of an attack never sends a request."""
    if not balancer.source_connections:
        return []
    layer = "session" if balancer.accept_proxy else "connection"  # the source is known after the PROXY protocol
    return [
        f"    tcp-request {layer} track-sc2 src,ipmask(32,64) table connections_of",
        f"    tcp-request {layer} reject if {{{{ sc_conn_cur(2) gt {{source_connections}} }}}}",
    ]


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

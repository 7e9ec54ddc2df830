"""The configuration of nginx (1.22 or newer, without modules of others) in front of the instances, from their list.

It has no health checks of its own: a request whose instance refuses or cuts the connection goes to the next one, and
an instance that did it three times is left out for `check_seconds`. Rule: pure; the same values give the same text.
`manage.py nginx_config` prints it.
"""

from replication.balancer import Balance, Balancer, Instance
from replication.wire import CONTENT_BYTES, MAX_BODY_BYTES

SILENCE_SECONDS = 120
"""A relay pings a client every 55 s at most. nginx has one limit for the answer to a handshake and for the silence of
a WebSocket; this one lets go of a frozen instance."""


def configuration(balancer: Balancer) -> str:
    """The text of nginx.conf. Raises ValueError for backups with a balance by source, which nginx does not have."""
    if balancer.balance is Balance.SOURCE and any(one.backup for one in balancer.instances):
        raise ValueError("nginx has no backups when the instance is chosen by the source")
    parts = (_head(balancer), _maps(balancer), _upstream(balancer), _proxy(balancer), _public(balancer))
    text = "\n".join((*parts, _operators(balancer)))
    return text + "}\n"


def _head(balancer: Balancer) -> str:
    # One of the client and one of the instance; which process accepts them is not known beforehand.
    descriptors = 2 * balancer.connections
    return f"""\
# Made by `manage.py nginx_config`: change its options, not this file. Needs nginx 1.22 or newer.
user www-data;
pid /run/nginx.pid;
worker_processes auto;
worker_rlimit_nofile {descriptors + 1_000};
worker_shutdown_timeout {balancer.hard_stop_seconds}s;

events {{
    worker_connections {descriptors};
}}

http {{
    access_log off;
    server_tokens off;
    default_type application/octet-stream;
    keepalive_timeout 10s;
    client_header_timeout 10s;
    client_body_timeout 10s;
    client_max_body_size 64k;
    client_body_buffer_size 64k;
    send_timeout 60s;
"""


def _maps(balancer: Balancer) -> str:
    zones = [
        f"    limit_req_zone ${name}_source zone={name}:32m rate={_per_minute(limit, balancer.rate_seconds)}r/m;\n"
        for name, limit in (("request", balancer.requests), ("upgrade", balancer.upgrades))
        if limit
    ]
    return """\
    # A source is an IPv4 address (4 bytes) or an IPv6 /64 (the first 8 of 16 bytes).
    map $binary_remote_addr $source {
        default $binary_remote_addr;
        "~(?s)^(?<network>.{8}).{8}$" $network;
    }
    map $http_upgrade $upgrade_source {
        default "";
        "~*^websocket$" $source;
    }
    map $http_upgrade $request_source {
        default $source;
        "~*^websocket$" "";
    }
    map $upgrade_source $to_upgrade {
        default "websocket";
        "" "";
    }
    map $upgrade_source $to_connection {
        default "upgrade";
        "" "close";
    }
""" + "".join(zones)


def _per_minute(limit: int, seconds: int) -> int:
    """nginx counts whole requests of a minute."""
    return max(1, limit * 60 // max(1, seconds))


def _upstream(balancer: Balancer) -> str:
    choice = "hash $source consistent;" if balancer.balance is Balance.SOURCE else "least_conn;"
    servers = "".join(_server(one, balancer) for one in balancer.instances)
    return f"""\
    upstream instances {{
        zone instances 256k;
        {choice}
{servers}    }}
"""


def _server(one: Instance, balancer: Balancer) -> str:
    share = f"weight={one.weight}" if one.weight else "down"
    return (
        f"        server {one.host}:{one.port} {share} max_conns={balancer.instance_connections}"
        f" max_fails=3 fail_timeout={balancer.check_seconds}s{' backup' if one.backup else ''}; # {one.name}\n"
    )


def _proxy(balancer: Balancer) -> str:
    return f"""\
    proxy_http_version 1.1;
    proxy_connect_timeout 2s;
    proxy_send_timeout 60s;
    # Also the time that a WebSocket may be silent. The relay pings more often.
    proxy_read_timeout {SILENCE_SECONDS}s;
    proxy_buffer_size 16k;
    proxy_buffers 8 16k;
    proxy_max_temp_file_size 0;
    proxy_socket_keepalive on;
    # Not 503: a client at its limit would count as a fault of the instance.
    proxy_next_upstream error timeout;
    proxy_next_upstream_tries 3;
    proxy_next_upstream_timeout 10s;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $to_upgrade;
    proxy_set_header Connection $to_connection;
    # Set, not added: what a client sends of these is a lie.
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto {balancer.scheme};
    proxy_set_header Forwarded "";
    limit_req_status 429;
"""


def _listen(address: str, tail: str) -> str:
    """`listen` of an address; `:PORT` is all of IPv4 and of IPv6."""
    places = [address[1:], f"[::]{address}"] if address.startswith(":") else [address]
    return "".join(f"        listen {place}{tail};\n" for place in places)


def _public(balancer: Balancer) -> str:
    tail = f"{' ssl http2' if balancer.certificate else ''}{' proxy_protocol' if balancer.accept_proxy else ''}"
    lines = _listen(balancer.bind or (":443" if balancer.certificate else ":80"), tail)
    if balancer.certificate:
        lines += (
            f"        ssl_certificate {balancer.certificate};\n        ssl_certificate_key {balancer.certificate};\n"
            "        ssl_protocols TLSv1.2 TLSv1.3;\n        ssl_session_cache shared:tls:10m;\n"
            "        ssl_session_tickets off;\n"
        )
    if balancer.accept_proxy:
        lines += (
            "        set_real_ip_from 0.0.0.0/0;\n        set_real_ip_from ::/0;\n"
            "        real_ip_header proxy_protocol;\n"
        )
    requests, upgrades = [
        f"            limit_req zone={name} burst={limit - 1} nodelay;\n" if limit else ""
        for name, limit in (("request", balancer.requests), ("upgrade", balancer.upgrades))
    ]
    return f"""\
    server {{
{lines}        # nginx compares the path as it is after decoding: /%61dmin/ is the admin as well.
        location ^~ /admin {{ return 404; }}
        location ^~ /metrics {{ return 404; }}
        # Other regions ask often, with large bodies, and are known by their signature; nothing else is without a limit.
        location ~ ^(?:{"|".join(CONTENT_BYTES)})\\z {{
{upgrades}            client_max_body_size {MAX_BODY_BYTES};
            proxy_request_buffering off;
            proxy_pass http://instances;
        }}
        location / {{
{requests}{upgrades}            proxy_pass http://instances;
        }}
    }}
"""


def _operators(balancer: Balancer) -> str:
    return f"""\
    # The admin and metrics: from the operators' network alone.
    server {{
{_listen(balancer.operators_bind, "")}        location = /nginx {{ stub_status; }}
        location / {{ proxy_pass http://instances; }}
    }}
"""

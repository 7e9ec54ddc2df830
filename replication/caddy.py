"""The configuration of Caddy (2.6 or newer, without plug-ins) in front of the instances, from their list.

Caddy gets the certificate of its site by itself. It has no rate limits, weights, backups or limits of connections: the
relay's own limits hold. Rule: pure; the same values give the same text. `manage.py caddy_config` prints it.
"""

import re

from replication.balancer import DEFAULT_WEIGHT, Balance, Balancer
from replication.wire import CONTENT_BYTES, MAX_BODY_BYTES

_SITE = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+", re.ASCII)


def configuration(balancer: Balancer, site: str = "") -> str:
    """The text of a Caddyfile. `site`: the host name, whose certificate Caddy gets; empty: `bind`, for any name.

    Raises ValueError for what Caddy does not have (weights, backups, the PROXY protocol) and for what is no host name.
    """
    if any(one.backup or one.weight != DEFAULT_WEIGHT for one in balancer.instances):
        raise ValueError("Caddy has neither weights nor backups")
    if balancer.accept_proxy:
        raise ValueError("Caddy 2.6 does not take the PROXY protocol")
    if site and not _SITE.fullmatch(site):
        raise ValueError(f"{site!r} is not a host name")
    scheme = "https" if site or balancer.certificate else "http"
    parts = (_GLOBAL, _proxy(balancer, scheme), _public(balancer, site, scheme), _operators(balancer))
    return "\n".join(parts)


_GLOBAL = """\
# Made by `manage.py caddy_config`: change its options, not this file. Needs Caddy 2.6 or newer.
{
	admin localhost:2019
	servers {
		timeouts {
			read_header 10s
			idle 60s
		}
		max_header_size 16KB
	}
}
"""


def _proxy(balancer: Balancer, scheme: str) -> str:
    """What both addresses do; Caddy sets X-Forwarded-For to the client's address, whatever the client sends of it."""
    addresses = " ".join(f"{one.host}:{one.port}" for one in balancer.instances)
    policy = "ip_hash" if balancer.balance is Balance.SOURCE else "least_conn"
    return f"""\
(instances) {{
	reverse_proxy {addresses} {{
		lb_policy {policy}
		lb_try_duration 5s
		lb_try_interval 100ms
		health_uri /ready
		health_status 200
		health_interval {balancer.check_seconds}s
		health_timeout 2s
		fail_duration {balancer.check_seconds}s
		max_fails 3
		flush_interval -1
		header_up X-Forwarded-Proto {scheme}
		transport http {{
			dial_timeout 2s
			response_header_timeout 60s
		}}
	}}
}}
"""


def _public(balancer: Balancer, site: str, scheme: str) -> str:
    port = _port(balancer.bind) if balancer.bind else ""
    address = site + port if site else scheme + "://" + (port or (":443" if balancer.certificate else ":80"))
    lines = _bind(balancer.bind)
    if balancer.certificate:
        lines += f"\ttls {balancer.certificate} {balancer.certificate}\n"
    return f"""\
{address} {{
{lines}	# Compared after decoding: /%61dmin/ is the admin as well.
	@operators path /admin* /metrics*
	respond @operators 404
	# Other regions send large bodies, and are known by their signature.
	@peers path {" ".join(CONTENT_BYTES)}
	request_body @peers {{
		max_size {MAX_BODY_BYTES}
	}}
	@clients not path {" ".join(CONTENT_BYTES)}
	request_body @clients {{
		max_size 64KB
	}}
	import instances
}}
"""


def _operators(balancer: Balancer) -> str:
    return f"""\
# The admin and metrics: from the operators' network alone.
http://{_port(balancer.operators_bind)} {{
{_bind(balancer.operators_bind)}	import instances
}}
"""


def _port(address: str) -> str:
    return ":" + address.rpartition(":")[2]


def _bind(address: str) -> str:
    """`bind` of the host of an address; nothing for all of the machine's."""
    host = address.rpartition(":")[0].strip("[]")
    return f"\tbind {host}\n" if host else ""

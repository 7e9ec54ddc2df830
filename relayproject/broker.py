"""The broker of the jobs as Celery takes it: its URL, options and TLS, from a URL as relay.redis_url reads it.

kombu, which Celery sends jobs with, has no transport for a Cluster: the queue is a list, which blocks on one node.
"""

import ssl
from dataclasses import dataclass, field
from typing import Any

from relay.redis_url import Address, Topology, parse

ANSWER_SECONDS = 5
"""How long a broker, a frozen one for instance, may not answer before the connection is made anew: to its next address,
if Sentinels name one.
"""
LIMITS = {
    "socket_timeout": ANSWER_SECONDS,
    "socket_connect_timeout": ANSWER_SECONDS,
    "health_check_interval": ANSWER_SECONDS,
}
VERIFICATION = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


@dataclass(frozen=True, slots=True)
class Broker:
    """Values of Celery's settings broker_url, broker_transport_options and broker_use_ssl. `url` has the password."""

    url: str = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    tls: dict[str, Any] | None = None


def broker_of(url: str) -> Broker:
    """Of a server or of Sentinels; a Cluster's first node, with which no process gets as far as sending a job. Raises
    ValueError.
    """
    if url.startswith("unix://"):
        return Broker(url.replace("unix://", "redis+socket://", 1))
    address = parse(url)
    tls = None
    if address.tls is not None:
        options = dict(address.tls_options)
        tls = {**options, "ssl_cert_reqs": VERIFICATION[options.get("ssl_cert_reqs", "required")]}
    servers = [address.server_url(endpoint).partition("?")[0] for endpoint in address.endpoints]
    if address.topology is not Topology.SENTINEL:
        return Broker(servers[0], LIMITS, tls)
    return Broker(
        ";".join("sentinel" + server.removeprefix("rediss" if tls else "redis") for server in servers),
        {**LIMITS, "master_name": address.master_name, "sentinel_kwargs": _sentinel(address, tls)},
        tls,
    )


def _sentinel(address: Address, tls: dict[str, Any] | None) -> dict[str, Any]:
    """Options of a connection to a Sentinel. The next one is asked at once: redis-py would try four times, for 7 s."""
    # Imported here, because the supervisor reads the settings and has no use for redis-py.
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    login = {"username": address.sentinel_username or None, "password": address.sentinel_password or None}
    return {**LIMITS, **login, "retry": Retry(NoBackoff(), 0), **({"ssl": True, **tls} if tls else {})}

"""redis-py clients for the URL of a Redis-compatible service, for figures and jobs, where a call may cost more.

Rule: every part of the relay reads the same URL in the same forms (relay.redis_url).
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from relay.redis_url import Address, Topology, parse


@dataclass(frozen=True, slots=True)
class _Kinds:
    """The classes of redis-py for a loop or for threads."""

    cluster: Any
    node: Any
    sentinel: Any
    from_url: Any
    retry: Any
    max_connections: int


ASYNC = _Kinds(
    AsyncRedisCluster, AsyncClusterNode, AsyncSentinel, redis.asyncio.from_url, AsyncRetry(NoBackoff(), 0), 4
)
THREADED = _Kinds(RedisCluster, ClusterNode, Sentinel, redis.from_url, Retry(NoBackoff(), 1), 8)


def async_client(url: str, timeout_seconds: float) -> Any:
    """A client for the event loop; a call gives up after `timeout_seconds` and is not repeated."""
    return _client(url, timeout_seconds, ASYNC)


def client(url: str, timeout_seconds: float) -> Any:
    """A client for threads; a call gives up after `timeout_seconds`, and is repeated once: the connection may be
    stale.
    """
    return _client(url, timeout_seconds, THREADED)


def follow_master(client: Any) -> None:
    """Have the next call of a client for threads go to the master that Sentinels name now, though an old one still
    answers; a client of another kind is left as it is.
    """
    pool: Any = getattr(client, "connection_pool", None)
    with suppress(RedisError):  # without a Sentinel that answers the known master stays
        if hasattr(pool, "get_master_address"):
            pool.get_master_address()


async def async_follow_master(client: Any) -> None:
    """The same of a client for the event loop."""
    pool: Any = getattr(client, "connection_pool", None)
    with suppress(RedisError):
        if hasattr(pool, "get_master_address"):
            await pool.get_master_address()


def async_sentinel(address: Address, timeout_seconds: float) -> AsyncSentinel:
    """The Sentinels of an address, for the event loop."""
    return _sentinel(address, timeout_seconds, ASYNC)  # type: ignore[no-any-return]


def _client(url: str, timeout_seconds: float, kinds: _Kinds) -> Any:
    address = parse(url)
    options = {
        "username": address.username or None,
        "password": address.password or None,
        **_connection(address, timeout_seconds),
    }
    if address.topology is Topology.CLUSTER:
        nodes = [kinds.node(endpoint.host, endpoint.port) for endpoint in address.endpoints]
        return kinds.cluster(startup_nodes=nodes, retry=kinds.retry, **options)
    if address.topology is Topology.SENTINEL:
        sentinel = _sentinel(address, timeout_seconds, kinds)
        return sentinel.master_for(address.master_name, db=address.database, retry=kinds.retry, **options)
    limits = {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds}
    (endpoint,) = address.endpoints
    return kinds.from_url(
        address.server_url(endpoint), retry=kinds.retry, max_connections=kinds.max_connections, **limits
    )


def _sentinel(address: Address, timeout_seconds: float, kinds: _Kinds) -> Any:
    options = {
        "username": address.sentinel_username or None,
        "password": address.sentinel_password or None,
        "retry": kinds.retry,
        **_connection(address, timeout_seconds),
    }
    return kinds.sentinel([(one.host, one.port) for one in address.endpoints], sentinel_kwargs=options)


def _connection(address: Address, timeout_seconds: float) -> dict[str, Any]:
    tls = {"ssl": True, **dict(address.tls_options)} if address.tls else {}
    return {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds, **tls}

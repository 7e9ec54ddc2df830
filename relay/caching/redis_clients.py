"""redis-py clients for the URL of the shared cache, for figures, where a call may cost more.

Rule: every part of the relay reads the same URL in the same forms (relay.caching.redis_url).
"""

from typing import Any

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from relay.caching.redis_url import Topology, parse


def async_client(url: str, timeout_seconds: float) -> Any:
    """A client for the event loop; a call gives up after `timeout_seconds` and is not repeated."""
    kinds = (AsyncRedisCluster, AsyncClusterNode, AsyncSentinel, redis.asyncio.from_url)
    return _client(url, timeout_seconds, kinds, AsyncRetry(NoBackoff(), 0), 4)


def client(url: str, timeout_seconds: float) -> Any:
    """A client for threads; a call gives up after `timeout_seconds`, and is repeated once: the connection may be
    stale.
    """
    kinds = (RedisCluster, ClusterNode, Sentinel, redis.from_url)
    return _client(url, timeout_seconds, kinds, Retry(NoBackoff(), 1), 8)


def _client(
    url: str, timeout_seconds: float, kinds: tuple[Any, Any, Any, Any], retry: Any, max_connections: int
) -> Any:
    cluster, node, sentinel, from_url = kinds
    address = parse(url)
    limits = {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds}
    login = {"username": address.username or None, "password": address.password or None}
    endpoints = [(endpoint.host, endpoint.port) for endpoint in address.endpoints]
    if address.topology is Topology.CLUSTER:
        return cluster(startup_nodes=[node(*endpoint) for endpoint in endpoints], **login, **limits)
    if address.topology is Topology.SENTINEL:
        return sentinel(endpoints, sentinel_kwargs={**limits, "retry": retry}).master_for(
            address.master_name, db=address.database, retry=retry, **login, **limits
        )
    # redis-py knows the schemes redis, rediss and unix.
    known = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
    return from_url(known, retry=retry, max_connections=max_connections, **limits)

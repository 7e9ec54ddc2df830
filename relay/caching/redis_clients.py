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

from relay.caching.redis_url import Address, Topology, parse


def async_client(url: str, timeout_seconds: float) -> Any:
    """A client for the event loop; a call gives up after `timeout_seconds` and is not repeated."""
    address = parse(url)
    limits = _limits(timeout_seconds)
    if address.topology is Topology.CLUSTER:
        nodes = [AsyncClusterNode(endpoint.host, endpoint.port) for endpoint in address.endpoints]
        return AsyncRedisCluster(startup_nodes=nodes, **_login(address), **limits)
    retry = AsyncRetry(NoBackoff(), 0)
    if address.topology is Topology.SENTINEL:
        sentinel: Any = AsyncSentinel
        return sentinel(_endpoints(address), sentinel_kwargs={**limits, "retry": retry}).master_for(
            address.master_name, db=address.database, retry=retry, **_login(address), **limits
        )
    return redis.asyncio.from_url(_named(url), retry=retry, max_connections=4, **limits)


def client(url: str, timeout_seconds: float) -> Any:
    """A client for threads; a call gives up after `timeout_seconds`, and is repeated once in case an idle connection
    was closed.
    """
    address = parse(url)
    limits = _limits(timeout_seconds)
    if address.topology is Topology.CLUSTER:
        node: Any = ClusterNode
        nodes = [node(endpoint.host, endpoint.port) for endpoint in address.endpoints]
        return RedisCluster(startup_nodes=nodes, **_login(address), **limits)
    retry = Retry(NoBackoff(), 1)
    if address.topology is Topology.SENTINEL:
        watch: Any = Sentinel
        return watch(_endpoints(address), sentinel_kwargs={**limits, "retry": retry}).master_for(
            address.master_name, db=address.database, retry=retry, **_login(address), **limits
        )
    return redis.from_url(_named(url), retry=retry, max_connections=8, **limits)


def _named(url: str) -> str:
    """The URL in the schemes that redis-py knows."""
    return url.replace("valkey", "redis", 1) if url.startswith("valkey") else url


def _limits(timeout_seconds: float) -> dict[str, Any]:
    return {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds}


def _login(address: Address) -> dict[str, Any]:
    return {"username": address.username or None, "password": address.password or None}


def _endpoints(address: Address) -> list[tuple[str, int]]:
    return [(endpoint.host, endpoint.port) for endpoint in address.endpoints]

"""Keys and memory of the server of the shared cache (L2), as it tells them itself.

Rule: these are of the whole server, which also holds figures of workers, and bus and job queue where they share it.
What a single cache has there is not counted: other instances write to it, and keys expire.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from relay.services.figures import CACHE_ERRORS, client_of


class CacheServer(Struct, frozen=True):
    """`keys` of the database of CACHE_URL, `memory_bytes` in use; `limit_bytes` is `maxmemory`, 0 for none."""

    keys: int
    memory_bytes: int
    limit_bytes: int


def cache_server_now(cache_url: str) -> CacheServer | None:
    """Its figures, for a thread: two commands. None without a cache, or if it does not answer."""
    if not cache_url:
        return None
    try:
        client = client_of(cache_url)
        keys, memory = client.dbsize(), client.info("memory")
    except CACHE_ERRORS:
        return None
    nodes = _nodes(memory)
    return CacheServer(int(keys), _sum(nodes, "used_memory"), _sum(nodes, "maxmemory"))


def _nodes(memory: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """INFO of each node: a Cluster answers with one for each, a single server with its own."""
    return [memory] if "used_memory" in memory else list(memory.values())


def _sum(nodes: list[Mapping[str, Any]], name: str) -> int:
    return sum(int(node.get(name, 0)) for node in nodes)

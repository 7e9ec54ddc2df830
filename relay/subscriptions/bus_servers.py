"""Which server of the bus a process uses: the one of the URL, the master that Sentinels name, or a node of a Cluster.

On a Cluster the bus is plain publish/subscribe: every node hears what is published on any other, so a process may use
whichever answers, a replica too, and waits for no failover. Sharded publish/subscribe would have the one
channel of the bus on one master (docs/scaling.md has the figures).
"""

import random
from collections.abc import Sequence
from typing import Any, Protocol

from redis.exceptions import RedisError

from relay import redis_clients
from relay.redis_url import Address, Endpoint, Topology, parse

ASK_SECONDS = 0.5
"""For the answer of a Sentinel or a node."""

FAILED = "fail"
DISCONNECTED = "disconnected"
UNUSABLE = {FAILED, "fail?", "handshake", "noaddr", DISCONNECTED}
"""Flags of CLUSTER NODES; DISCONNECTED is its link state."""


class NoServer(Exception):
    """no server of the bus can be used"""


class Servers(Protocol):
    """The servers of one URL."""

    async def find(self, lost: str) -> str:
        """The URL of the server to connect to; if possible another one than `lost`. Raises NoServer, RedisError or
        OSError.
        """

    async def is_right(self, url: str) -> bool:
        """False if the server in use, which seems to answer, must be left. Raises as `find`."""


def servers_of(url: str) -> Servers:
    """The servers of a URL (relay.redis_url). Raises ValueError."""
    address = parse(url)
    if address.topology is Topology.SENTINEL:
        return Master(address)
    if address.topology is Topology.CLUSTER:
        return Nodes(address)
    return Single(address)


class Single:
    """One server at a fixed address."""

    def __init__(self, address: Address) -> None:
        self._url = address.server_url(address.endpoints[0])

    async def find(self, lost: str) -> str:
        """See Servers."""
        return self._url

    async def is_right(self, url: str) -> bool:
        """See Servers."""
        return True


class Master:
    """The master that Sentinels name. An old one that goes on is left within a second of their naming another."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._sentinels = redis_clients.async_sentinel(address, ASK_SECONDS)

    async def find(self, lost: str) -> str:
        """See Servers. The same server again if no other was promoted."""
        host, port = await self._sentinels.discover_master(self._address.master_name)
        return self._address.server_url(Endpoint(host, port))

    async def is_right(self, url: str) -> bool:
        """See Servers."""
        return await self.find(url) == url


class Nodes:
    """The nodes of a Cluster, masters and replicas. Processes choose at random, so the nodes share the subscribers."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._known = [address.server_url(endpoint) for endpoint in address.endpoints]

    async def find(self, lost: str) -> str:
        """See Servers: a node that answers, and that others do not consider failed."""
        found = await self._nodes([*(url for url in self._shuffled() if url != lost), lost])
        healthy = [url for url, flags in found.items() if not flags & UNUSABLE]
        if not healthy:
            raise NoServer("no node of the Cluster answers")
        self._known = list(found)
        return random.choice([url for url in healthy if url != lost] or healthy)  # noqa: S311

    async def is_right(self, url: str) -> bool:
        """See Servers: False if another node says that most consider this one failed."""
        found = await self._nodes([known for known in self._shuffled() if known != url][:1])
        return FAILED not in found.get(url, ())

    def _shuffled(self) -> list[str]:
        return random.sample(self._known, len(self._known))

    async def _nodes(self, urls: Sequence[str]) -> dict[str, set[str]]:
        """The nodes and their flags, by the first of `urls` that answers; nothing if none does."""
        for url in filter(None, urls):
            try:
                async with redis_clients.async_client(url, ASK_SECONDS) as client:
                    nodes = await client.execute_command("CLUSTER NODES")
            except (RedisError, OSError):
                continue
            return {self._url(place, node, url): _flags(node) for place, node in nodes.items()}
        return {}

    def _url(self, place: str, node: dict[str, Any], asked: str) -> str:
        host, _, port = place.rpartition(":")
        if not host:  # a node that does not know its own address yet
            return asked
        name = node["hostname"] if self._address.tls else ""  # which the certificate names
        return self._address.server_url(Endpoint(name or host, int(port)))


def _flags(node: dict[str, Any]) -> set[str]:
    flags = set(node["flags"].split(","))
    return flags if node["connected"] or "myself" in flags else {*flags, DISCONNECTED}

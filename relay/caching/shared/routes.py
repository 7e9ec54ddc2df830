"""Which link leads to a key where one server holds all of them: named by the URL, or by the Sentinels."""

from collections.abc import Sequence
from typing import Protocol

from relay.caching.redis_url import Endpoint, Topology
from relay.caching.shared.connection import OnReply, Unavailable
from relay.caching.shared.server_link import TROUBLES, Connector, ServerLink

SENTINEL_LOOK_SECONDS = 1.0


class Routes(Protocol):
    """The links to the masters, and who serves which key."""

    def start(self) -> None:
        """Begin to connect, without waiting."""

    async def stop(self) -> None:
        """Give all links up."""

    def send(self, key: bytes, packed: bytes, on_reply: OnReply) -> None:
        """Send a packed command to the master of the key."""

    def groups(self, keys: Sequence[bytes]) -> list[list[int]]:
        """Which of the keys may stand in one command, by their endpoints in the list."""

    def links(self) -> list[ServerLink]:
        """The link of each master."""

    @property
    def is_up(self) -> bool:
        """Whether every key has a master that answers."""


class SingleServer:
    """All keys on one server."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._endpoints = list(connector.address.endpoints)
        if connector.address.topology is Topology.SENTINEL:
            # A master that was cut off from its Sentinels goes on answering: so they are asked again and again.
            self._link = ServerLink(connector, self._ask_sentinels, look_again_seconds=SENTINEL_LOOK_SECONDS)
        else:
            self._link = ServerLink(connector, self._only_endpoint)

    async def _only_endpoint(self) -> Endpoint:
        return self._endpoints[0]

    async def _ask_sentinels(self) -> Endpoint:
        """The master by the first Sentinel that knows it, which is asked first the next time; raises Unavailable."""
        name = self._connector.address.master_name
        for sentinel in list(self._endpoints):
            try:
                command = (b"SENTINEL", b"get-master-addr-by-name", name)
                (reply,) = await self._connector.ask(sentinel, command, sentinel=True)
            except TROUBLES:
                continue
            if reply:
                self._endpoints.remove(sentinel)
                self._endpoints.insert(0, sentinel)
                return Endpoint(reply[0].decode(), int(reply[1]))
        raise Unavailable(f"no Sentinel knows a master named {name}")

    def start(self) -> None:
        self._link.start()

    async def stop(self) -> None:
        await self._link.stop()

    def send(self, key: bytes, packed: bytes, on_reply: OnReply) -> None:
        self._link.send(packed, on_reply)

    def groups(self, keys: Sequence[bytes]) -> list[list[int]]:
        return [list(range(len(keys)))] if keys else []

    def links(self) -> list[ServerLink]:
        return [self._link]

    @property
    def is_up(self) -> bool:
        return self._link.is_up

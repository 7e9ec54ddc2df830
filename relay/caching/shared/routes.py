"""Routes keys where one server holds all of them: the server of the URL, or the master that Sentinels name."""

from collections.abc import Sequence
from typing import Protocol

from relay.caching.shared.connection import OnReply, Unavailable
from relay.caching.shared.server_link import CONNECT_ERRORS, Connector, ServerLink
from relay.redis_url import Endpoint, Topology

SENTINEL_LOOK_SECONDS = 1.0


class Routes(Protocol):
    """The links to the masters, and which of them serves a key."""

    def start(self) -> None:
        """Begin to connect, without waiting."""

    async def stop(self) -> None:
        """Close all links."""

    def send(self, key: bytes, packed: bytes, on_reply: OnReply) -> None:
        """Send a packed command to the master of the key."""

    def groups(self, keys: Sequence[bytes]) -> list[list[int]]:
        """The indexes of the keys, grouped by those that may stand in one command."""

    def links(self) -> list[ServerLink]:
        """The links, one for each master."""

    @property
    def is_up(self) -> bool:
        """True if the master of every key answers."""


class SingleServer:
    """All keys on one server: the `Routes` of a plain or +sentinel URL."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._endpoints = list(connector.address.endpoints)
        if connector.address.topology is Topology.SENTINEL:
            # A master that is cut off from its Sentinels still answers us, so they are asked once a second.
            self._link = ServerLink(connector, self._ask_sentinels, look_again_seconds=SENTINEL_LOOK_SECONDS)
        else:
            self._link = ServerLink(connector, self._only_endpoint)

    async def _only_endpoint(self) -> Endpoint:
        return self._endpoints[0]

    async def _ask_sentinels(self) -> Endpoint:
        """The master by the first Sentinel that knows it; that Sentinel is asked first the next time. Raises
        Unavailable.
        """
        name = self._connector.address.master_name
        for sentinel in list(self._endpoints):
            try:
                command = (b"SENTINEL", b"get-master-addr-by-name", name)
                (reply,) = await self._connector.ask(sentinel, command, sentinel=True)
            except CONNECT_ERRORS:
                continue
            if reply:
                self._endpoints.remove(sentinel)
                self._endpoints.insert(0, sentinel)
                return Endpoint(reply[0].decode(), int(reply[1]))
        raise Unavailable(f"no Sentinel knows a master named {name}")

    def start(self) -> None:
        """See Routes."""
        self._link.start()

    async def stop(self) -> None:
        """See Routes."""
        await self._link.stop()

    def send(self, key: bytes, packed: bytes, on_reply: OnReply) -> None:
        """See Routes."""
        self._link.send(packed, on_reply)

    def groups(self, keys: Sequence[bytes]) -> list[list[int]]:
        """See Routes; all keys are one group."""
        return [list(range(len(keys)))] if keys else []

    def links(self) -> list[ServerLink]:
        """See Routes."""
        return [self._link]

    @property
    def is_up(self) -> bool:
        """See Routes."""
        return self._link.is_up

"""The shared cache as the layers above use it: commands by key, many keys at once, keys by pattern.

Rule: no call raises because a server is unavailable unless its docstring says so, and no call waits for one to come
back.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

from hiredis import ReplyError

from relay.background import BackgroundTasks
from relay.caching.shared.cluster import Cluster
from relay.caching.shared.connection import Counters, OnReply, Part, Reply, pack, settle
from relay.caching.shared.routes import Routes, SingleServer
from relay.caching.shared.server_link import Connector, ServerLink
from relay.redis_url import Topology, parse

TIMEOUT_SECONDS = 0.05
SCAN_COUNT = 500


class Shared:
    """L2 at a URL (forms: `relay.redis_url`). `timeout_seconds` for each command. Raises ValueError for a wrong
    URL.
    """

    def __init__(
        self, url: str, timeout_seconds: float = TIMEOUT_SECONDS, tasks: BackgroundTasks | None = None
    ) -> None:
        self.counters = Counters()
        address = parse(url)
        connector = Connector(address, timeout_seconds, self.counters, tasks or BackgroundTasks())
        self._routes: Routes = Cluster(connector) if address.topology is Topology.CLUSTER else SingleServer(connector)
        self._send = self._routes.send

    async def start(self) -> None:
        """Begin to connect; returns at once, whether or not the server answers."""
        self._routes.start()

    async def stop(self) -> None:
        """Close all connections; waiting calls and all later ones get Unavailable."""
        await self._routes.stop()

    @property
    def up(self) -> bool:
        """True if the master of every key answers."""
        return self._routes.is_up

    def send(self, key: bytes, parts: tuple[Part, ...], on_reply: OnReply) -> None:
        """Send a command to the master of `key` at the least cost; the commands of one turn of the loop leave in one
        write.

        `on_reply` is called exactly once, in a later turn, with the reply, Unavailable or hiredis.ReplyError.
        """
        self._send(key, pack(parts), on_reply)

    def call(self, key: bytes, *parts: Part) -> "asyncio.Future[Reply]":
        """Like `send`, with a future; awaiting it raises Unavailable or hiredis.ReplyError."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._send(key, pack(parts), partial(settle, future))
        return future

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values in the order of `keys`; None for a missing key and for one whose server is unavailable."""
        values: list[bytes | None] = [None] * len(keys)
        groups = self._routes.groups(keys)
        if not groups:
            return values
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        left = len(groups)

        def take(group: list[int], reply: Reply) -> None:
            nonlocal left
            if type(reply) is list:
                for index, value in zip(group, reply, strict=True):
                    values[index] = value
            left -= 1
            if not left and not done.done():
                done.set_result(None)

        for group in groups:
            packed = pack((b"MGET", *[keys[index] for index in group]))
            self._send(keys[group[0]], packed, partial(take, group))
        await done
        return values

    def set(self, key: bytes, value: bytes, ttl_seconds: float) -> None:
        """Write a value without waiting. It may be lost: failures, and drops from a full queue, are in `counters`."""
        milliseconds = max(1, int(ttl_seconds * 1000))
        self._send(key, pack((b"SET", key, value, b"PX", milliseconds)), self._written)

    def _written(self, reply: Reply) -> None:
        if type(reply) is ReplyError:  # Unavailable is counted by the connection
            self.counters.failures += 1

    def delete(self, keys: Sequence[bytes]) -> "asyncio.Future[int]":
        """Delete keys; sent at once, awaited or not. The future gives the number deleted on the servers that answered;
        it never raises.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        groups = self._routes.groups(keys)
        left, removed = len(groups), 0
        if not groups:
            future.set_result(0)

        def take(reply: Reply) -> None:
            nonlocal left, removed
            removed += reply if type(reply) is int else 0
            self._written(reply)
            left -= 1
            if not left and not future.done():
                future.set_result(removed)

        for group in groups:
            self._send(keys[group[0]], pack((b"UNLINK", *[keys[index] for index in group])), take)
        return future

    async def delete_matching(self, pattern: bytes) -> int:
        """Delete the keys that match on every master; returns how many. Raises Unavailable if a master did not answer,
        after deleting on the others.
        """
        removed = 0
        failure: Exception | None = None
        for link in self._routes.links():
            try:
                async for keys in _scan(link, pattern):
                    removed += await self.delete(keys)
            except Exception as error:
                failure = error
        if failure is not None:
            raise failure
        return removed


async def _scan(link: ServerLink, pattern: bytes) -> AsyncIterator[list[bytes]]:
    """The matching keys of one master in pages of SCAN; never KEYS, which blocks the server."""
    cursor = b"0"
    while True:
        cursor, keys = await link.call(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", SCAN_COUNT)
        if keys:
            yield keys
        if cursor == b"0":
            return

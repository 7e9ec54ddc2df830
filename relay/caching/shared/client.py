"""The shared cache as the layers above use it: commands by key, many keys at once, keys by pattern.

Rule: nothing here raises because a server is away, unless its docstring says so, and nothing waits for one.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

from hiredis import ReplyError

from relay.caching.redis_url import Topology, parse
from relay.caching.shared.cluster import Cluster
from relay.caching.shared.connection import Counters, OnReply, Part, Reply, pack, settle
from relay.caching.shared.routes import Routes, SingleServer
from relay.caching.shared.server_link import Connector, ServerLink

TIMEOUT_SECONDS = 0.05
SCAN_COUNT = 500


class Shared:
    """L2 at the URL (the forms stand in `relay.caching.redis_url`); raises ValueError for a wrong one."""

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.counters = Counters()
        address = parse(url)
        connector = Connector(address, timeout_seconds, self.counters)
        self._routes: Routes = Cluster(connector) if address.topology is Topology.CLUSTER else SingleServer(connector)
        self._send = self._routes.send

    async def start(self) -> None:
        """Begin to connect. It neither waits for the server nor raises because it is away."""
        self._routes.start()

    async def stop(self) -> None:
        """Close everything; who still waits gets Unavailable, and so does every call from now on."""
        await self._routes.stop()

    @property
    def up(self) -> bool:
        """Whether every key has a server that answers."""
        return self._routes.is_up

    def send(self, key: bytes, parts: tuple[Part, ...], on_reply: OnReply) -> None:
        """Send a command to the server of the key, with the least cost; several of one turn leave in one write.

        `on_reply` is called exactly once and in a later turn: with the reply, Unavailable, or hiredis.ReplyError.
        """
        self._send(key, pack(parts), on_reply)

    def call(self, key: bytes, *parts: Part) -> "asyncio.Future[Reply]":
        """The same with a future; it raises Unavailable or hiredis.ReplyError when awaited."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._send(key, pack(parts), partial(settle, future))
        return future

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values in the order of the keys; None for those that are not there or whose server is away."""
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
        """Write a value without waiting. It may be lost: `counters` count failures, and drops when too much waits."""
        milliseconds = max(1, int(ttl_seconds * 1000))
        self._send(key, pack((b"SET", key, value, b"PX", milliseconds)), self._written)

    def _written(self, reply: Reply) -> None:
        if type(reply) is ReplyError:  # an absence is counted where it was found
            self.counters.failures += 1

    def delete(self, keys: Sequence[bytes]) -> "asyncio.Future[int]":
        """Remove keys; sent at once, whether the future is awaited or not. It gives how many there were as far as
        servers answered, and never raises.
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
        """Remove the keys that match, of every master that answers; returns how many. Raises Unavailable if one did not,
        after those that did.
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
    """Matching keys of one master, as many at once as SCAN gives. Never KEYS, which holds the server up."""
    cursor = b"0"
    while True:
        cursor, keys = await link.call(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", SCAN_COUNT)
        if keys:
            yield keys
        if cursor == b"0":
            return

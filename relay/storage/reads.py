"""Queries of clients: each answer has a position and is exactly the state after that change.

Rule: rows and position are read in one statement, so in one snapshot, and a snapshot is a prefix of the log. Nothing
else runs on these connections: coordination is `relay.storage.primary`.
"""

import asyncio
import time
from collections.abc import Sequence

from relay.background import BackgroundTasks
from relay.changes.row import id_of
from relay.conf import Life
from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.errors import Failed
from relay.protocol.filters import Filter
from relay.protocol.visibility import division, readable_part
from relay.storage.channel import Parameter, Row, integer
from relay.storage.database import INDEX_WALKS_ONLY, Connection, connect
from relay.storage.fair_queue import INTERNAL
from relay.storage.fair_queue import Bounds as QueueBounds
from relay.storage.filter_sql import (
    BOUNDS,
    LARGE,
    Bounds,
    Key,
    needs_query,
    query_statement,
    texts_statement,
)
from relay.storage.lanes import QUICK_SECONDS, Lanes
from relay.storage.query_cost import LOOKED_UP_MS, ONE_ROW, Cost, query_cost
from relay.storage.read_result import Item, Part, Result, Stopped, end_for, end_of, joined, merged, part_of
from relay.storage.server import Server
from relay.storage.slow_queries import SlowQueries

FROM_START = 0
"""The least position, which every server has."""

_TRUE = b"\x01"
"""True in PostgreSQL's binary format."""

TOO_MUCH = "the filter matches too little of what must be read for it, narrow it"


class Reads:
    """Queries `servers` in order of preference: the next one if one fails, or is behind the requested position."""

    def __init__(self, servers: Sequence[Lanes]) -> None:
        self.queries = 0
        self.pieces = 0
        """Statements for texts that the first statement of their query left out."""
        self.second_attempts = 0
        """Queries whose first statement stopped at its bound on rows read."""
        self.too_broad = 0
        """Queries that would have to read too much."""
        self.bounds: Bounds = BOUNDS
        self.slow_queries = SlowQueries()
        self._vanishing = False  # the last query found that rows of some key are still to be removed
        self._servers = list(servers)

    @classmethod
    def of_primary(
        cls,
        connections: int,
        query_seconds: float,
        tasks: BackgroundTasks | None = None,
        *,
        slow_connections: int = 1,
        bounds: QueueBounds | None = None,
        most: int = 0,
        life: Life | None = None,
    ) -> "Reads":
        """Queries to the primary only, over `connections` connections (up to `most` while queries wait, each for a
        `life`), expensive ones over `slow_connections`.
        """

        async def opened(seconds: float) -> Connection:
            return await connect(application="relay read", statement_seconds=seconds, **INDEX_WALKS_ONLY)

        lanes = Lanes(
            lambda: opened(min(query_seconds, QUICK_SECONDS)),
            lambda: opened(query_seconds),
            query_seconds,
            tasks or BackgroundTasks(),
            connections=connections,
            slow_connections=slow_connections,
            bounds=bounds,
            most=most,
            life=life,
        )
        return cls([lanes])

    def watch(self, slow_queries: SlowQueries) -> None:
        """Have queries that run long, and those that stop at a bound, noted."""
        self.slow_queries = slow_queries
        for server in (*self.quick, *self.slow):
            server.slow_queries = slow_queries

    def open(self) -> None:
        """Begin to connect to all servers; needs a running loop."""
        for server in self._servers:
            server.open()

    async def close(self) -> None:
        """Close all connections; waiting queries fail."""
        for server in self._servers:
            await server.close()

    def drop_primary(self, why: str) -> None:
        """The primary does not answer: end what it was asked, and connect again."""
        self._servers[-1].drop(why)

    def hurry_primary(self) -> None:
        """The primary answers again: connect now."""
        self._servers[-1].hurry()

    async def until_connected(self, seconds: float) -> None:
        """Return once the first server is connected. Raises Failed after `seconds`."""
        await self._servers[0].until_connected(seconds)

    @property
    def seconds(self) -> float:
        """The time-out of a query to one server."""
        return self._servers[0].seconds

    @property
    def failures(self) -> int:
        """Queries that a server did not answer."""
        return sum(server.failures for server in self._servers)

    @property
    def quick(self) -> list[Server]:
        """The quick lane of each server."""
        return [server.quick for server in self._servers]

    @property
    def slow(self) -> list[Server]:
        """The lane of expensive queries of each server."""
        return [server.slow for server in self._servers]

    @property
    def asked_again(self) -> int:
        """Queries that took too long for the quick lane."""
        return sum(server.asked_again for server in self._servers)

    @property
    def connected(self) -> int:
        """Connections for quick queries that can be used now."""
        return sum(server.connected for server in self.quick)

    @property
    def waiting(self) -> int:
        """Queries waiting for a connection."""
        return sum(server.waiting for server in (*self.quick, *self.slow))

    @property
    def waiting_bytes(self) -> int:
        """Bytes of their parameters."""
        return sum(server.waiting_bytes for server in (*self.quick, *self.slow))

    @property
    def refused(self) -> int:
        """Queries refused because too many waited."""
        return sum(server.refused for server in (*self.quick, *self.slow))

    @property
    def cancelled(self) -> int:
        """Expensive queries ended at PostgreSQL: no client waited for them any more, or their turn was over."""
        return sum(server.cancelled for server in self.slow)

    async def query(
        self,
        filters: Sequence[Filter],
        audience: Audience = ANONYMOUS,
        *,
        least: int = FROM_START,
        owner: str = INTERNAL,
        seconds: float | None = None,
    ) -> Result:
        """The stored events that match any of `filters` and that `audience` may read, at a position of at least
        `least`, within `seconds`. `owner` is who asks, in whose turn and on whose account the query runs.

        Raises Failed "query timed out" (01-S11), Failed if no server can answer, RateLimited if too many queries of
        `owner` wait, and Failed if a filter would have to read too much.
        """
        asking = [readable_part(flt, audience) for flt in filters if needs_query(flt, audience)]
        position, parts = await self.parts(asking, audience, least=least, owner=owner, seconds=seconds)
        items = merged([part.items for part in parts])
        return Result(position, items, end_for(filters, audience, end_of(parts, items)))

    async def parts(
        self,
        filters: Sequence[Filter],
        audience: Audience = ANONYMOUS,
        *,
        least: int = FROM_START,
        owner: str = INTERNAL,
        seconds: float | None = None,
    ) -> tuple[int, list[Part]]:
        """The position, and the stored events at it for each of `filters`, for all of which `needs_query` must be True.

        Raises Failed like `query`.
        """
        if not audience.keys:
            return await self._parts(filters, audience, least, owner, seconds)
        divisions = [division(flt, audience) for flt in filters]
        asked = [flt for each in divisions for flt in each]
        position, parts = await self._parts(asked, audience, least, owner, seconds)
        found = iter(parts)
        return position, [
            joined([next(found) for _ in each], flt) for each, flt in zip(divisions, filters, strict=True)
        ]

    async def _parts(
        self, filters: Sequence[Filter], audience: Audience, least: int, owner: str, seconds: float | None
    ) -> tuple[int, list[Part]]:
        self.queries += 1
        cost, now = query_cost(filters), int(time.time())
        loop = asyncio.get_running_loop()
        left = self.seconds if seconds is None else seconds
        ends = loop.time() + left
        second = keyed = False
        while True:
            vanishing = self._vanishing
            asked = query_statement(
                filters, now, audience, self.bounds, second=second, keyed=keyed, vanishing=vanishing
            )
            position, (found,) = await self.fetch(
                asked.text, asked.parameters, least=least, owner=owner, cost=cost, seconds=left
            )
            left = ends - loop.time()
            self._vanishing = found[1] == _TRUE
            if self._vanishing and not vanishing:
                continue
            if LARGE in found:
                keyed = True
                continue
            try:
                if len(filters) == 1:
                    return position, [part_of(found[2], filters[0], asked.ends[0])]
                return position, [
                    part_of(lines, flt, has_end)
                    for lines, flt, has_end in zip(found[2:], filters, asked.ends, strict=True)
                ]
            except Stopped:
                self.slow_queries.stopped(filters)
                if second:
                    break
                self.second_attempts += 1
                second = True
        self.too_broad += 1
        raise Failed(TOO_MUCH)

    async def texts(
        self,
        keys: Sequence[Key],
        audience: Audience = ANONYMOUS,
        *,
        least: int = FROM_START,
        owner: str = INTERNAL,
        seconds: float | None = None,
    ) -> dict[bytes, bytes]:
        """The texts of `keys` by id, without those that were removed or expired since; the caller bounds their sizes.

        Raises Failed like `query`.
        """
        self.pieces += 1
        asked = texts_statement([key.id for key in keys], int(time.time()), audience)
        _, ((_, lines),) = await self.fetch(
            asked.text,
            asked.parameters,
            least=least,
            owner=owner,
            cost=Cost(len(keys) * LOOKED_UP_MS, True),
            seconds=seconds,
        )
        return {} if lines is None else {id_of(text): text for text in lines.split(b"\n")}

    async def fetch(
        self,
        text: str,
        parameters: Sequence[Parameter] = (),
        *,
        least: int = FROM_START,
        owner: str = INTERNAL,
        cost: Cost = ONE_ROW,
        seconds: float | None = None,
    ) -> tuple[int, list[Row]]:
        """Run a statement whose rows begin with the position; returns that position and the rows, in binary format.

        A server that fails, or whose position is below `least`, is skipped; all of them together have `seconds`, by
        default what one has. Raises Failed like `query`.
        """
        left = self.seconds if seconds is None else seconds
        clock = asyncio.get_running_loop().time
        ends = clock() + left
        failure = Failed("the database cannot answer now, try again")
        for server in self._servers:
            try:
                rows = await server.fetch(text, parameters, owner, cost, left)
                position = integer(rows[0][0]) if rows else FROM_START
                if position >= least:
                    return position, rows
            except Failed as error:
                failure = error
            left = ends - clock()
        raise failure


__all__ = ["FROM_START", "TOO_MUCH", "Item", "Reads"]

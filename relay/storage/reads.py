"""Queries of clients: each answer has a position and is exactly the state after that change.

Rule: rows and position are read in one statement, so in one snapshot, and a snapshot is a prefix of the log. Nothing
else runs on these connections: coordination is `relay.storage.primary`.
"""

import time
from collections.abc import Sequence

from msgspec import Struct

from relay.background import BackgroundTasks
from relay.changes.row import created_at_of, id_of
from relay.protocol.audience import NOBODY, Audience
from relay.protocol.errors import Failed
from relay.protocol.filters import Filter
from relay.storage.channel import Parameter, Row, integer
from relay.storage.database import INDEX_WALKS_ONLY, Connection, connect
from relay.storage.fair_queue import INTERNAL, Bounds
from relay.storage.filter_sql import needs_query, query_statement, rows_wanted
from relay.storage.lanes import QUICK_SECONDS, Lanes
from relay.storage.query_cost import ONE_ROW, Cost, query_cost
from relay.storage.server import Server

FROM_START = 0
"""The least position, which every server has."""


class Result(Struct, frozen=True, gc=False):
    """Events newest first, ties by the lowest id, each once, as JSON texts; the state after change `position`."""

    position: int
    events: Sequence[bytes]


class Part(Struct, frozen=True, gc=False):
    """The answer to one filter, newest first. `complete`: no stored match lies below the last text."""

    texts: Sequence[bytes]
    complete: bool


class Reads:
    """Queries `servers` in order of preference: the next one if one fails, or is behind the requested position."""

    def __init__(self, servers: Sequence[Lanes]) -> None:
        self.queries = 0
        self._servers = list(servers)

    @classmethod
    def of_primary(
        cls,
        connections: int,
        query_seconds: float,
        tasks: BackgroundTasks | None = None,
        *,
        slow_connections: int = 1,
        bounds: Bounds | None = None,
    ) -> "Reads":
        """Queries to the primary only, over `connections` connections, expensive ones over `slow_connections`."""

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
        )
        return cls([lanes])

    def open(self) -> None:
        """Begin to connect to all servers; needs a running loop."""
        for server in self._servers:
            server.open()

    async def close(self) -> None:
        """Close all connections; waiting queries fail."""
        for server in self._servers:
            await server.close()

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
        """Expensive queries ended at PostgreSQL: nobody waited for them any more, or their turn was over."""
        return sum(server.cancelled for server in self.slow)

    async def query(
        self,
        filters: Sequence[Filter],
        audience: Audience = NOBODY,
        least: int = FROM_START,
        owner: str = INTERNAL,
    ) -> Result:
        """The stored events that match any of `filters` and that `audience` may read, at a position of at least
        `least`. `owner` is who asks, in whose turn and on whose account the query runs.

        Raises Failed "query timed out" (01-S11), and Failed if no server can answer, RateLimited if too many queries
        of `owner` wait.
        """
        asking = [flt for flt in filters if needs_query(flt, audience)]
        position, parts = await self.parts(asking, audience, least, owner)
        return Result(position, parts[0].texts if len(parts) == 1 else merged([part.texts for part in parts]))

    async def parts(
        self,
        filters: Sequence[Filter],
        audience: Audience = NOBODY,
        least: int = FROM_START,
        owner: str = INTERNAL,
    ) -> tuple[int, list[Part]]:
        """The position, and the stored events at it for each of `filters`, for all of which `needs_query` must be True.

        Raises Failed like `query`.
        """
        self.queries += 1
        asked = query_statement(filters, int(time.time()), audience)
        position, (found,) = await self.fetch(asked.text, asked.parameters, least, owner, query_cost(filters))
        return position, [
            _NOTHING if texts is None else _part(texts.split(b"\n"), flt)
            for texts, flt in zip(found[1:], filters, strict=True)
        ]

    async def fetch(
        self,
        text: str,
        parameters: Sequence[Parameter] = (),
        least: int = FROM_START,
        owner: str = INTERNAL,
        cost: Cost = ONE_ROW,
    ) -> tuple[int, list[Row]]:
        """Run a statement whose rows begin with the position; returns that position and the rows, in binary format.

        A server that fails, or whose position is below `least`, is skipped. Raises Failed like `query`.
        """
        failure = Failed("the database cannot answer now, try again")
        for server in self._servers:
            try:
                rows = await server.fetch(text, parameters, owner, cost)
            except Failed as error:
                failure = error
                continue
            position = integer(rows[0][0]) if rows else FROM_START
            if position >= least:
                return position, rows
        raise failure


def merged(pages: Sequence[Sequence[bytes]]) -> Sequence[bytes]:
    """The union of pages, newest first, each event once (01-F14)."""
    texts = {id_of(text): text for page in pages for text in page}
    return sorted(texts.values(), key=lambda text: (-created_at_of(text), id_of(text)))


_NOTHING = Part((), True)


def _part(texts: list[bytes], flt: Filter) -> Part:
    """Cut like `relay.changes.overlay.cut`: the relay's own cap takes the whole boundary second (01-F18)."""
    everything = len(texts) < rows_wanted(flt)
    if len(texts) <= flt.limit:
        return Part(texts, everything)
    end = flt.limit
    boundary = created_at_of(texts[end - 1])
    while end < len(texts) and created_at_of(texts[end]) == boundary:
        end += 1
    return Part(texts[:end], everything and end == len(texts))

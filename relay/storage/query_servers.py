"""The servers that answer queries: the primary, and replicas before it. Their connections, and whose turn it is.

Rule: the rows of a statement begin with the position of its snapshot. Nothing but queries runs on these connections:
coordination is `relay.storage.primary`.
"""

import asyncio
from collections.abc import Sequence
from typing import Self

from relay.background import BackgroundTasks
from relay.conf import Life
from relay.protocol.errors import Failed
from relay.storage.channel import integer
from relay.storage.database import OF_CLIENTS, Connection, connect
from relay.storage.fair_queue import INTERNAL
from relay.storage.fair_queue import Bounds as QueueBounds
from relay.storage.filter_sql import SHARED_COLUMNS
from relay.storage.lanes import QUICK_SECONDS, Lanes
from relay.storage.query_cost import ONE_ROW, Cost
from relay.storage.replicas import Replicas, reason_of
from relay.storage.request import Parameter, Row, Shared
from relay.storage.server_sums import ServerSums

FROM_START = 0
"""The least position, which every server has."""

PRIMARY = "primary"

UNANSWERED = "the database cannot answer now, try again"


class QueryServers(ServerSums):
    """Asks `replicas` in turn, and `primary` if none of them can answer."""

    def __init__(self, primary: Lanes, replicas: Replicas | None = None) -> None:
        self.answered: dict[str, int] = {PRIMARY: 0}
        """Queries by the server that answered them."""
        self.replicas = replicas
        self._primary = primary
        for replica in replicas.all if replicas is not None else ():
            self.answered[replica.address.alias] = 0

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
        replicas: Replicas | None = None,
    ) -> Self:
        """Queries to the primary over `connections` connections (up to `most` while queries wait, each for a `life`),
        expensive ones over `slow_connections`; first to `replicas`.
        """

        async def opened(seconds: float) -> Connection:
            return await connect(application="relay read", statement_seconds=seconds, **OF_CLIENTS)

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
        return cls(lanes, replicas)

    def open(self) -> None:
        """Begin to connect to all servers; needs a running loop."""
        self._primary.open()
        if self.replicas is not None:
            self.replicas.open()

    async def close(self) -> None:
        """Close all connections; waiting queries fail."""
        if self.replicas is not None:
            await self.replicas.close()
        await self._primary.close()

    def drop_primary(self, why: str) -> None:
        """The primary does not answer: end what it was asked, and connect again."""
        self._primary.drop(why)

    def hurry_primary(self) -> None:
        """The primary answers again: connect now."""
        self._primary.hurry()

    async def until_connected(self, seconds: float) -> None:
        """Return once the primary is connected. Raises Failed after `seconds`."""
        await self._primary.until_connected(seconds)

    @property
    def servers(self) -> list[Lanes]:
        """The primary, and the replicas in the order of the settings."""
        return [self._primary, *(replica.lanes for replica in (self.replicas.all if self.replicas else ()))]

    @property
    def replicated(self) -> int:
        """The newest change that a replica was seen to have; 0 without any that can be asked."""
        return max(
            (replica.position for replica in (self.replicas.all if self.replicas else ()) if replica.up), default=0
        )

    @property
    def seconds(self) -> float:
        """The time-out of a query."""
        return self._primary.seconds

    async def fetch(
        self,
        text: str,
        parameters: Sequence[Parameter] = (),
        *,
        least: int | None = None,
        owner: str = INTERNAL,
        cost: Cost = ONE_ROW,
        seconds: float | None = None,
    ) -> tuple[int, list[Row]]:
        """Run a statement whose rows begin with the position; returns that position and the rows, in binary format.

        `least`: a replica may answer if it has this position; None: the answer must be as of now, so the primary's.
        All servers together have `seconds`, by default what one has. Raises Failed "query timed out" (01-S11), Failed
        if no server can answer, RateLimited if too many queries of `owner` wait.
        """
        clock = asyncio.get_running_loop().time
        ends = clock() + (self.seconds if seconds is None else seconds)
        if least is not None and self.replicas is not None:
            for replica in self.replicas.in_turn():
                try:
                    position, rows = await replica.fetch(text, parameters, owner, cost, ends - clock())
                except Failed as error:
                    self.replicas.fell_back(reason_of(error))
                    continue
                if position >= least:
                    self.answered[replica.address.alias] += 1
                    return position, rows
                self.replicas.fell_back("behind")
        position, rows = await self._of_primary(text, parameters, owner, cost, ends - clock())
        if position < (least or FROM_START):
            raise Failed(UNANSWERED)
        self.answered[PRIMARY] += 1
        return position, rows

    async def _of_primary(
        self, text: str, parameters: Sequence[Parameter], owner: str, cost: Cost, seconds: float, *, rest: str = ""
    ) -> tuple[int, list[Row]]:
        shared = Shared(rest.encode(), SHARED_COLUMNS) if rest else None
        rows = await self._primary.fetch(text, parameters, owner, cost, seconds, shared=shared)
        return (integer(rows[0][0]) if rows else FROM_START), rows

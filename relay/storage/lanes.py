"""Queries of clients to one server in two lanes: quick ones pipelined, expensive ones alone on other connections.

PostgreSQL runs the statements of a connection in turn, so a statement that takes a second would delay all those behind
it. Rule: which lane a query takes changes when it is answered, never its answer. A quick query that takes longer than
QUICK_SECONDS is ended and asked again in the other lane, where its owner's uncertain queries go for a while.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence

import psycopg

from relay.background import BackgroundTasks
from relay.conf import Life
from relay.protocol.errors import Failed
from relay.storage.channel import Parameter, Row
from relay.storage.fair_queue import INTERNAL, Bounds
from relay.storage.link import Connect, Statement
from relay.storage.query_cost import ONE_ROW, QUICK_MS, Cost
from relay.storage.server import Server

QUICK_SECONDS = 0.5
"""PostgreSQL's time-out of a statement in the quick lane."""

TURN_SECONDS = 1.0
"""An expensive statement is ended after this time, as soon as another owner waits."""

DISTRUST_SECONDS = 30.0
"""How long the uncertain queries of an owner count as expensive after one took longer than QUICK_MS."""

MOST_DISTRUSTED = 10_000
"""How many owners are remembered; beyond it the one that was found first is forgotten."""


class Lanes:
    """The two lanes; `connections` for quick statements, `slow_connections` for expensive ones."""

    def __init__(
        self,
        connect: Connect,
        connect_slow: Connect,
        seconds: float,
        tasks: BackgroundTasks,
        *,
        connections: int,
        slow_connections: int,
        name: str = "primary",
        bounds: Bounds | None = None,
        most: int = 0,
        life: Life | None = None,
    ) -> None:
        """`seconds`: the time-out of a query with its time in the queue. `most`: connections for quick statements while
        they wait, each for a `life`.
        """
        self.name = name
        self.seconds = seconds
        self.asked_again = 0
        self.quick = Server(connect, connections, seconds, tasks, name, bounds=bounds, most=most, life=life)
        self.slow = Server(
            connect_slow,
            slow_connections,
            seconds,
            tasks,
            f"{name} (expensive queries)",
            depth=1,
            bounds=bounds,
            turn_seconds=TURN_SECONDS,
            life=life,
        )
        self._distrusted: OrderedDict[str, float] = OrderedDict()

    def open(self) -> None:
        """Begin to connect; needs a running loop."""
        self.quick.open()
        self.slow.open()

    async def close(self) -> None:
        """Close all connections; waiting queries fail."""
        await self.quick.close()
        await self.slow.close()

    def drop(self, why: str) -> None:
        """Close all connections now: their queries fail, and new connections are made."""
        self.quick.drop(why)
        self.slow.drop(why)

    def hurry(self) -> None:
        """Try to connect now."""
        self.quick.hurry()
        self.slow.hurry()

    async def until_connected(self, seconds: float) -> None:
        """Return once each lane has a connection. Raises Failed after `seconds`."""
        await self.quick.until_connected(seconds)
        await self.slow.until_connected(seconds)

    @property
    def failures(self) -> int:
        """Statements that failed or timed out."""
        return self.quick.failures + self.slow.failures - self.asked_again

    async def fetch(
        self,
        text: str,
        parameters: Sequence[Parameter] = (),
        owner: str = INTERNAL,
        cost: Cost = ONE_ROW,
        seconds: float | None = None,
    ) -> list[Row]:
        """Run one statement of `owner` with numbered parameters, for at most `seconds` (None: the time-out of a query);
        returns rows in binary format.

        Raises Failed "query timed out" (01-S11), Failed if the server cannot answer, RateLimited if too many statements
        of the owner wait.
        """
        left = self.seconds if seconds is None else seconds
        statement = Statement(text.encode(), parameters, owner, cost.ms, filters=cost.filters)
        if cost.is_quick and (cost.is_certain or not self._is_distrusted(owner)):
            if not cost.is_certain and owner != INTERNAL:
                statement.ended = lambda ms: self._distrust(owner) if ms > QUICK_MS else None
            begin = time.monotonic()
            try:
                return await self.quick.run(statement, left)
            except psycopg.errors.QueryCanceled:
                left -= time.monotonic() - begin
                self.asked_again += 1
                statement.ended = None
        try:
            return await self.slow.run(statement, left)
        except psycopg.errors.QueryCanceled as error:
            raise Failed("query timed out") from error

    def _distrust(self, owner: str) -> None:
        if len(self._distrusted) >= MOST_DISTRUSTED and owner not in self._distrusted:
            self._distrusted.popitem(last=False)
        self._distrusted[owner] = asyncio.get_running_loop().time() + DISTRUST_SECONDS

    def _is_distrusted(self, owner: str) -> bool:
        until = self._distrusted.get(owner)
        if until is None:
            return False
        if until > asyncio.get_running_loop().time():
            return True
        del self._distrusted[owner]
        return False

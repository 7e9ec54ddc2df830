"""Queries of clients to one server in three lanes: small ones in groups, quick ones pipelined, expensive ones alone.

PostgreSQL runs the statements of a connection in turn, so a statement that takes a second would delay all those behind
it. Rule: which lane a query takes changes when it is answered, never its answer. A quick query that takes longer than
QUICK_SECONDS is ended and asked again as an expensive one, as which its owner's uncertain queries count for a while.

The small ones have one connection. Those that come while it is busy leave together, in one write and one transaction:
that saves both processes most of what a small statement costs beside its rows, and they share a snapshot, so that only
the first of them asks for its position. Beyond a group the others take them, and so do those that are free when a group
takes longer than small ones do.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence

import psycopg

from relay.background import BackgroundTasks
from relay.conf import Life
from relay.protocol.errors import Failed
from relay.storage.channel import Skipped
from relay.storage.fair_queue import INTERNAL, Bounds
from relay.storage.link import Connect, Statement
from relay.storage.query_cost import ONE_ROW, QUICK_MS, Cost
from relay.storage.request import Parameter, Row, Shared
from relay.storage.server import Server

QUICK_SECONDS = 0.5
"""PostgreSQL's time-out of a statement in the quick lane."""

TURN_SECONDS = 1.0
"""An expensive statement is ended after this time, as soon as another owner waits."""

DISTRUST_SECONDS = 30.0
"""How long the uncertain queries of an owner count as expensive after one took longer than QUICK_MS."""

GROUP = 8
"""Small statements of one group: a longer one would delay the answer to its first."""

LONG_GROUP_SECONDS = 0.005
"""A group that has run for longer is not waited for while a connection of the quick lane is free."""

MOST_DISTRUSTED = 10_000
"""How many owners are remembered; beyond it the one that was found first is forgotten."""


class Lanes:
    """The lanes; `connections` for quick statements, one of them for small ones if there are several;
    `slow_connections` for expensive ones.
    """

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
        few = min(1, connections - 1)
        self.quick = Server(
            connect, connections - few, seconds, tasks, name, bounds=bounds, most=max(0, most - few), life=life
        )
        self.small: Server | None = None
        if few:
            small = f"{name} (small queries)"
            self.small = Server(
                connect, few, seconds, tasks, small, depth=GROUP, grouped=True, bounds=bounds, life=life
            )
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
        for lane in self.all:
            lane.open()

    async def close(self) -> None:
        """Close all connections; waiting queries fail."""
        for lane in self.all:
            await lane.close()

    def drop(self, why: str) -> None:
        """Close all connections now: their queries fail, and new connections are made."""
        for lane in self.all:
            lane.drop(why)

    def hurry(self) -> None:
        """Try to connect now."""
        for lane in self.all:
            lane.hurry()

    async def until_connected(self, seconds: float) -> None:
        """Return once each lane has a connection. Raises Failed after `seconds`."""
        for lane in self.all:
            await lane.until_connected(seconds)

    @property
    def all(self) -> list[Server]:
        """The lanes."""
        return [*self.ordinary, self.slow]

    @property
    def ordinary(self) -> list[Server]:
        """Those of small and of quick queries."""
        return [self.quick] if self.small is None else [self.small, self.quick]

    @property
    def failures(self) -> int:
        """Statements that failed or timed out."""
        return sum(lane.failures for lane in self.all) - self.asked_again

    async def fetch(
        self,
        text: str,
        parameters: Sequence[Parameter] = (),
        owner: str = INTERNAL,
        cost: Cost = ONE_ROW,
        seconds: float | None = None,
        *,
        shared: Shared | None = None,
    ) -> list[Row]:
        """Run one statement of `owner` with numbered parameters, for at most `seconds` (None: the time-out of a query);
        returns rows in binary format. `shared`: what other statements of its snapshot may spare it.

        Raises Failed "query timed out" (01-S11), Failed if the server cannot answer, RateLimited if too many statements
        of the owner wait.
        """
        left = self.seconds if seconds is None else seconds
        statement = Statement(text.encode(), parameters, owner, cost.ms, filters=cost.filters, shared=shared)
        if cost.is_quick and (cost.is_certain or not self._is_distrusted(owner)):
            if not cost.is_certain and owner != INTERNAL:
                statement.ended = lambda ms: self._distrust(owner) if ms > QUICK_MS else None
            begin = time.monotonic()
            try:
                return await self._ordinary(statement, cost, left)
            except psycopg.errors.QueryCanceled:
                left -= time.monotonic() - begin
                self.asked_again += 1
                statement.ended = None
        try:
            return await self.slow.run(statement, left)
        except psycopg.errors.QueryCanceled as error:
            raise Failed("query timed out") from error

    async def _ordinary(self, statement: Statement, cost: Cost, seconds: float) -> list[Row]:
        begin = time.monotonic()
        try:
            return await self._ordinary_for(cost).run(statement, seconds)
        except Skipped:  # by itself now: another group might fail too
            return await self.quick.run(statement, seconds - (time.monotonic() - begin), is_accepted=True)

    def _ordinary_for(self, cost: Cost) -> Server:
        small, quick = self.small, self.quick
        if small is None or not cost.is_small or not small.connected or small.waiting >= GROUP:
            return quick
        if small.busy_seconds > LONG_GROUP_SECONDS and quick.busy < quick.connected:
            return quick
        return small

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

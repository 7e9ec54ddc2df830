"""Queries of clients: each answer has a position and is exactly the state after that change.

Replicas are asked in turn. What one answers is the state after an earlier change: the changes since are applied to it
from the ring (rule 2 of ARCHITECTURE.md), up to a position that the barrier allows (rule 3). The primary answers if
that cannot be done. Rule: rows and position are read in one statement, so in one snapshot, and a snapshot is a prefix
of the log. Nothing else runs on these connections: coordination is `relay.storage.primary`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

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
from relay.storage.question import Question
from relay.storage.read_result import Item, Part, Result, Stopped, end_for, end_of, joined, merged, part_of
from relay.storage.replicas import Replicas, reason_of, with_time_left
from relay.storage.server_sums import ServerSums
from relay.storage.slow_queries import SlowQueries

FROM_START = 0
"""The least position, which every server has."""

_TRUE = b"\x01"
"""True in PostgreSQL's binary format."""

UNANSWERED = "the database cannot answer now, try again"


Fetch = Callable[[str, Sequence[Parameter], str, Cost, float], Awaitable[tuple[int, list[Row]]]]
"""Runs a statement at one server: text, parameters, owner, cost, seconds; returns position and rows."""

Answered = tuple[int, list[Part]]

PRIMARY = "primary"


class TooBroad(Failed):
    """the filter matches too little of what must be read for it, narrow it"""


class Reads(ServerSums):
    """Queries `replicas` in turn, and `primary` if none of them can answer as of now."""

    def __init__(self, primary: Lanes, replicas: Replicas | None = None) -> None:
        self.queries = 0
        self.pieces = 0
        """Statements for texts that the first statement of their query left out."""
        self.second_attempts = 0
        """Queries whose first statement stopped at its bound on rows read."""
        self.too_broad = 0
        """Queries that would have to read too much."""
        self.bounds: Bounds = BOUNDS
        self.answered: dict[str, int] = {PRIMARY: 0}
        """Queries by the server that answered them."""
        self.replicas = replicas
        self.slow_queries = SlowQueries()
        self._vanishing = False  # the last query found that rows of some key are still to be removed
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
    ) -> "Reads":
        """Queries to the primary over `connections` connections (up to `most` while queries wait, each for a `life`),
        expensive ones over `slow_connections`; first to `replicas`.
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
        return cls(lanes, replicas)

    def watch(self, slow_queries: SlowQueries) -> None:
        """Have queries that run long, and those that stop at a bound, noted."""
        self.slow_queries = slow_queries
        for server in (*self.quick, *self.slow):
            server.slow_queries = slow_queries

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
    def seconds(self) -> float:
        """The time-out of a query."""
        return self._primary.seconds

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
    ) -> Answered:
        """The position, and the stored events at it for each of `filters`, for all of which `needs_query` must be True.

        Everything acknowledged before the call lies at or below the position. Raises Failed like `query`.
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
        ends = asyncio.get_running_loop().time() + (self.seconds if seconds is None else seconds)
        question = Question(filters, audience, owner, least, ends)
        try:
            if self.replicas is not None:
                answer = await self._by_replicas(self.replicas, question)
                if answer is not None:
                    return answer
            position, parts = await self._ask(self._of_primary, question)
        except TooBroad:
            self.too_broad += 1
            raise
        if position < least:
            raise Failed(UNANSWERED)
        self.answered[PRIMARY] += 1
        return position, parts

    async def _by_replicas(self, replicas: Replicas, question: Question) -> Answered | None:
        """The answer of a replica as of now, None if the primary must be asked."""
        allowed: asyncio.Future[int | None] | None = None
        for replica in replicas.in_turn():
            if allowed is None:
                allowed = replicas.present.barrier()  # meanwhile the replica answers
            try:
                position, parts = await self._ask(replica.fetch, with_time_left(question))
                answer = await replicas.as_of_now(question, position, parts, allowed)
            except TooBroad:
                raise
            except Failed as error:
                replicas.fell_back(reason_of(error))
                if asyncio.get_running_loop().time() >= question.ends:
                    raise
                continue
            if answer is not None:
                self.answered[replica.address.alias] += 1
                return answer
        return None

    async def _ask(self, fetch: Fetch, question: Question) -> Answered:
        """The answer of one server, at its own position."""
        filters = question.filters
        cost, now = query_cost(filters), int(time.time())
        clock = asyncio.get_running_loop().time
        second = keyed = False
        vanishing = self._vanishing
        while True:
            asked = query_statement(
                filters, now, question.audience, self.bounds, second=second, keyed=keyed, vanishing=vanishing
            )
            position, (found,) = await fetch(
                asked.text, asked.parameters, question.owner, cost, question.ends - clock()
            )
            self._vanishing = found[1] == _TRUE
            if self._vanishing and not vanishing:
                vanishing = True
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
                    raise TooBroad from None
                self.second_attempts += 1
                second = True

    async def _of_primary(
        self, text: str, parameters: Sequence[Parameter], owner: str, cost: Cost, seconds: float
    ) -> tuple[int, list[Row]]:
        rows = await self._primary.fetch(text, parameters, owner, cost, seconds)
        return (integer(rows[0][0]) if rows else FROM_START), rows

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
        needed: int | None = least
        if self.replicas is not None:  # what was removed since must be missing: only a replica without lag will do
            number = await self.replicas.present.barrier()
            needed = None if number is None else max(least, number)
        asked = texts_statement([key.id for key in keys], int(time.time()), audience)
        _, ((_, lines),) = await self.fetch(
            asked.text,
            asked.parameters,
            least=needed,
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
        least: int | None = None,
        owner: str = INTERNAL,
        cost: Cost = ONE_ROW,
        seconds: float | None = None,
    ) -> tuple[int, list[Row]]:
        """Run a statement whose rows begin with the position; returns that position and the rows, in binary format.

        `least`: a replica may answer if it has this position; None: the answer must be as of now, so the primary's.
        All servers together have `seconds`, by default what one has. Raises Failed like `query`.
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


__all__ = ["FROM_START", "Item", "Reads"]

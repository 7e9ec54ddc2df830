"""Queries of clients: each answer has a position and is exactly the state after that change.

Replicas are asked in turn. What one answers is the state after an earlier change: the changes since are applied to it
from the ring (rule 2 of ARCHITECTURE.md), up to a position that the barrier allows (rule 3). The primary answers if
that cannot be done. Rule: rows and position are read in one snapshot, which is a prefix of the log.
"""

import asyncio
import time
from collections.abc import Sequence

from relay.changes.row import id_of
from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.errors import Failed
from relay.protocol.filters import Filter
from relay.protocol.visibility import division, readable_part
from relay.storage.fair_queue import INTERNAL
from relay.storage.filter_sql import Key, needs_query, texts_statement
from relay.storage.lanes import Lanes
from relay.storage.query_cost import LOOKED_UP_MS, Cost
from relay.storage.query_servers import FROM_START, PRIMARY, UNANSWERED, QueryServers
from relay.storage.question import Question
from relay.storage.question_attempts import Answered, QuestionAttempts, TooBroad
from relay.storage.read_result import Item, Result, end_for, end_of, joined, merged
from relay.storage.replicas import Replicas, reason_of, with_time_left
from relay.storage.slow_queries import SlowQueries


class Reads(QueryServers):
    """Queries of clients to the servers."""

    def __init__(self, primary: Lanes, replicas: Replicas | None = None) -> None:
        super().__init__(primary, replicas)
        self.queries = 0
        self.pieces = 0
        """Statements for texts that the first statement of their query left out."""
        self.attempts = QuestionAttempts()

    def watch(self, slow_queries: SlowQueries) -> None:
        """Have queries that run long, and those that stop at a bound, noted."""
        self.attempts.slow_queries = slow_queries
        for server in (*self.quick, *self.slow):
            server.watch(slow_queries)

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
    ) -> Answered:
        self.queries += 1
        ends = asyncio.get_running_loop().time() + (self.seconds if seconds is None else seconds)
        question = Question(filters, audience, owner, least, ends)
        if self.replicas is not None:
            answer = await self._by_replicas(self.replicas, question)
            if answer is not None:
                return answer
        position, parts = await self.attempts.ask(self._of_primary, question)
        if position < least:
            raise Failed(UNANSWERED)
        self.answered[PRIMARY] += 1
        return position, parts

    async def _by_replicas(self, replicas: Replicas, question: Question) -> Answered | None:
        """The answer of a replica as of now, None if the primary must be asked."""
        allowed: asyncio.Future[int | None] | None = None
        try:
            for replica in replicas.in_turn():
                if allowed is None:
                    allowed = replicas.present.barrier()  # meanwhile the replica answers
                try:
                    position, parts = await self.attempts.ask(replica.fetch, with_time_left(question))
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
        finally:
            if allowed is not None:
                allowed.cancel()  # a query that has ended waits for nothing

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


__all__ = ["FROM_START", "Item", "Reads"]

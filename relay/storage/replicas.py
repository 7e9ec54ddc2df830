"""The streaming replicas of the primary: which of them is asked, and how its answer becomes that of now.

An answer of a replica is the state after an earlier change. The barrier says up to where everything was acknowledged
(rule 3 of ARCHITECTURE.md); the changes up to there are applied to the answer from the ring (rule 2). Rule: the result
is what the primary would have answered, or there is none and the primary is asked.
"""

import asyncio
import time
from collections.abc import Sequence

import psycopg
from msgspec import structs

from relay.background import BackgroundTasks
from relay.conf import Life, ReplicaAddress
from relay.protocol.errors import Failed
from relay.routers import Turns
from relay.storage.database import OF_CLIENTS, Connection, connect
from relay.storage.fair_queue import Bounds
from relay.storage.lanes import QUICK_SECONDS, Lanes
from relay.storage.question import Question
from relay.storage.read_result import Part
from relay.storage.replica import CHECK_SECONDS, CHECK_TIMEOUT_SECONDS, Foreign, Present, Replica
from relay.storage.replica_answer import MOST_BEHIND, advanced
from relay.storage.server import Server

GONE_SECONDS = CHECK_SECONDS + CHECK_TIMEOUT_SECONDS
"""How long after a replica has stopped its connections are closed, and its queries go to the next server."""

ATTEMPTS = 2
"""Replicas that are asked for one answer, before the primary is."""

FALLBACKS = ("behind", "short", "late", "conflict", "timeout", "error", "foreign")
"""Why an answer of a replica was not used: it was too far behind; rows were missing after the changes since; this
process did not know the present in time; PostgreSQL ended the statement because of what it had to replay; it took too
long; it failed; it was of another store."""


class Replicas:
    """The replicas of one process. Counts `fallbacks`: answers that were not used, by reason."""

    def __init__(self, replicas: Sequence[Replica], present: Present, tasks: BackgroundTasks, zone: str = "") -> None:
        self.all = list(replicas)
        self.present = present
        self.fallbacks = dict.fromkeys(FALLBACKS, 0)
        self._tasks = tasks
        self._turns = Turns(zone)

    @classmethod
    def of(
        cls,
        addresses: Sequence[ReplicaAddress],
        present: Present,
        tasks: BackgroundTasks,
        query_seconds: float,
        *,
        zone: str,
        connections: int,
        slow_connections: int,
        most: int,
        life: Life,
        bounds: Bounds,
    ) -> "Replicas":
        """One for each address, with `connections` for quick queries (up to `most` while they wait, each for a `life`)
        and `slow_connections` for expensive ones.
        """

        def replica(address: ReplicaAddress) -> Replica:
            async def opened(seconds: float) -> Connection:
                return await connect(
                    application="relay read", statement_seconds=seconds, alias=address.alias, **OF_CLIENTS
                )

            lanes = Lanes(
                lambda: opened(min(query_seconds, QUICK_SECONDS)),
                lambda: opened(query_seconds),
                query_seconds,
                tasks,
                connections=connections,
                slow_connections=slow_connections,
                name=address.alias,
                bounds=bounds,
                most=most,
                life=life,
            )
            timeout = CHECK_TIMEOUT_SECONDS
            check = Server(lambda: opened(timeout), 1, timeout, tasks, f"{address.alias} (health)")
            return Replica(address, lanes, check, present)

        return cls([replica(address) for address in addresses], present, tasks, zone)

    def open(self) -> None:
        """Begin to check them; needs a running loop."""
        for replica in self.all:
            replica.open(self._tasks)

    async def close(self) -> None:
        """Close all connections; waiting queries fail."""
        for replica in self.all:
            await replica.close()

    def in_turn(self) -> Sequence[Replica]:
        """Those to ask now, one after the other."""
        return self._turns.order([replica for replica in self.all if replica.usable])[:ATTEMPTS]

    async def as_of_now(
        self, question: Question, position: int, parts: list[Part], allowed: "asyncio.Future[int | None]"
    ) -> tuple[int, list[Part]] | None:
        """The answer of a replica at `position`, brought to what the barrier asked for (`allowed`); None, counted, if
        that is not possible. Raises Foreign if another store is followed since.
        """
        if not allowed.done():  # it belongs to the answers of other replicas too, so it is not cancelled
            await asyncio.wait([allowed], timeout=question.ends - asyncio.get_running_loop().time())
        number = allowed.result() if allowed.done() else None
        if number is None:
            self.fell_back("late")
            return None
        needed = max(number, question.least)
        if position >= needed:
            return position, parts
        ring, store = self.present.ring(), self.present.store()
        if not await self.present.reached(max(needed, ring.complete_from)):
            self.fell_back("late")
            return None
        if ring is not self.present.ring() or store != self.present.store():
            raise Foreign
        found = advanced(parts, question, position, ring, int(time.time()))
        if found is None:
            is_near = ring.floor <= position and ring.position - position <= MOST_BEHIND
            self.fell_back("short" if is_near else "behind")
            return None
        return ring.position, found

    def fell_back(self, reason: str) -> None:
        """Count an answer that was not used, for one of FALLBACKS."""
        self.fallbacks[reason] += 1


def with_time_left(question: Question) -> Question:
    """The question with half of its time, if that is so short that the primary could not be asked after a replica that
    hangs.
    """
    now = asyncio.get_running_loop().time()
    left = question.ends - now
    return question if left > 2 * GONE_SECONDS else structs.replace(question, ends=now + left / 2)


def reason_of(error: Failed) -> str:
    """Why a replica did not answer: one of FALLBACKS."""
    cause = error.__cause__
    if isinstance(error, Foreign):
        return "foreign"
    if isinstance(cause, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected):
        return "conflict"
    return "timeout" if isinstance(cause, TimeoutError | psycopg.errors.QueryCanceled) else "error"

"""Pipelined connections to one PostgreSQL server behind one fair and bounded queue.

Rule: a statement is a transaction of its own, and no caller waits for it longer than `seconds`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import psycopg

from relay.background import BackgroundTasks
from relay.conf import Life
from relay.protocol.errors import Failed
from relay.storage.channel import Broken
from relay.storage.dispatcher import Dispatcher, Waiting, places
from relay.storage.fair_queue import Bounds, FairQueue
from relay.storage.link import Connect, Link, Rows, Statement, expire
from relay.storage.pool import LONGEST_PAUSE_SECONDS, Pool
from relay.storage.request import Parameter, Row
from relay.storage.slow_queries import SlowQueries

log = logging.getLogger("relay.storage")

PIPELINE = 4
"""Statements under way on one connection, which runs them in turn: a deeper pipeline only hides the queue."""


class Server:
    """`connect` makes one connection; `seconds` is the time-out of a statement, including its time in the queue."""

    def __init__(
        self,
        connect: Connect,
        connections: int,
        seconds: float,
        tasks: BackgroundTasks,
        name: str = "primary",
        *,
        depth: int = PIPELINE,
        grouped: bool = False,
        bounds: Bounds | None = None,
        turn_seconds: float = 0.0,
        most: int = 0,
        life: Life | None = None,
        pause_seconds: float = LONGEST_PAUSE_SECONDS,
    ) -> None:
        """`connections` are always open, up to `most` while statements wait, each for a `life` (`relay.storage.pool`).

        `depth`: statements under way on one connection. With 1, a statement whose caller has left is cancelled at
        PostgreSQL, and so is one that has run for `turn_seconds` while another owner waits (0: none is). `grouped`:
        statements that came in one turn of the loop, or while the connection was busy, leave in groups of up to `depth`
        (`relay.storage.channel`).
        """
        self.name = name
        self.seconds = seconds
        self.failures = 0
        self._connected = asyncio.Event()
        self._queue: FairQueue[Waiting] = FairQueue(bounds or Bounds(), places(connections, depth))
        self._pool = Pool(
            connect,
            name,
            tasks,
            least=connections,
            most=most,
            life=life or Life(),
            begin=self._begin,
            end=self._lose,
            is_needed=lambda: len(self._queue) > 0,
            pause_seconds=pause_seconds,
        )
        self._links = self._pool.links
        self._dispatcher = Dispatcher(
            self._links,
            self._queue,
            tasks,
            seconds,
            depth=depth,
            grouped=grouped,
            turn_seconds=turn_seconds,
            grow=self._pool.grow,
        )

    def watch(self, slow_queries: SlowQueries) -> None:
        """Note the queries whose statements run long."""
        self._dispatcher.slow_queries = slow_queries

    def open(self) -> None:
        """Begin to connect, and reconnect when needed; returns at once. Needs a running loop."""
        self._pool.open()

    async def close(self) -> None:
        """Close all connections; waiting statements fail."""
        await self._pool.close()
        self._dispatcher.refuse_waiting("the relay is stopping")

    def drop(self, why: str) -> None:
        """Close all connections now: what is under way and what waits fails, and new connections are made."""
        self._pool.drop(why)

    def hurry(self) -> None:
        """Try to connect now."""
        self._pool.hurry()

    async def until_connected(self, seconds: float) -> None:
        """Return once there is a connection. Raises Failed after `seconds` without one."""
        try:
            async with asyncio.timeout(seconds):
                await self._connected.wait()
        except TimeoutError:
            raise Failed("the database does not answer") from None

    @property
    def connected(self) -> int:
        """Connections that can be used now."""
        return len(self._links)

    @property
    def most(self) -> int:
        """Connections that there may be."""
        return self._pool.most

    @property
    def connect_failures(self) -> int:
        """Attempts to connect that failed."""
        return self._pool.failures

    @property
    def busy(self) -> int:
        """Connections with a statement under way."""
        return sum(1 for link in self._links if len(link.channel))

    @property
    def busy_seconds(self) -> float:
        """How long the first connection has been busy with what it runs; 0 if it runs nothing."""
        link = self._links[0] if self._links else None
        return asyncio.get_running_loop().time() - link.since if link is not None and link.requests else 0.0

    @property
    def waiting(self) -> int:
        """Statements waiting for a place in a pipeline."""
        return len(self._queue)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of waiting statements: texts and parameters."""
        return self._queue.bytes

    @property
    def cancelled(self) -> int:
        """Statements ended at PostgreSQL: their callers had left, or their turns were over."""
        return self._dispatcher.overdue.cancelled

    @property
    def refused(self) -> int:
        """Statements refused because too many waited."""
        return self._queue.refused

    async def fetch(self, text: str, parameters: Sequence[Parameter] = ()) -> list[Row]:
        """Run one statement of the relay's own with numbered parameters; returns rows in binary format.

        Raises Failed "query timed out" (01-S11), and Failed if the server cannot answer.
        """
        try:
            return await self.run(Statement(text.encode(), parameters), self.seconds)
        except psycopg.errors.QueryCanceled as error:
            raise Failed("query timed out") from error

    async def run(self, statement: Statement, seconds: float, *, is_accepted: bool = False) -> list[Row]:
        """Run a statement in its owner's turn, for at most `seconds` with its time in the queue.

        Raises QueryCanceled if PostgreSQL ended it, Skipped if one before it in its group failed, RateLimited if too
        many of its owner wait and it is not `is_accepted` already, otherwise like `fetch`.
        """
        future = self._dispatcher.submit(statement, is_accepted=is_accepted)
        timer = asyncio.get_running_loop().call_later(seconds, expire, future)
        try:
            return await future
        except psycopg.errors.QueryCanceled:
            self.failures += 1
            raise
        except TimeoutError as error:
            self.failures += 1
            raise Failed("query timed out") from error
        except (psycopg.Error, Broken) as error:
            self.failures += 1
            if not isinstance(error, Broken | psycopg.OperationalError):
                log.error("a statement failed: %s", error)
            raise Failed("the database cannot answer now, try again") from error
        finally:
            timer.cancel()

    def ask(self, text: str, parameters: Sequence[Parameter], then: Callable[[list[Row] | None], None]) -> None:
        """Like `fetch` without a task: `then` gets the rows in a later turn, None if the server did not answer."""
        future = self._dispatcher.submit(Statement(text.encode(), parameters))
        timer = asyncio.get_running_loop().call_later(self.seconds, future.cancel)

        def settled(done: Rows) -> None:
            timer.cancel()
            if done.cancelled() or done.exception() is not None:
                self.failures += 1
                then(None)
            else:
                then(done.result())

        future.add_done_callback(settled)

    def _begin(self, link: Link) -> None:
        self._connected.set()
        self._dispatcher.begin(link)

    def _lose(self, link: Link) -> None:
        self._dispatcher.lose(link)
        if not self._links:
            self._connected.clear()
            self._dispatcher.refuse_waiting("the database is gone")

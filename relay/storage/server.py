"""Pipelined connections to one PostgreSQL server behind one fair and bounded queue.

Rule: a statement is a transaction of its own, and no caller waits for it longer than `seconds`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

import psycopg

from relay.background import BackgroundTasks, Task, cancel
from relay.protocol.errors import Failed, RelayError
from relay.storage.channel import Broken, Channel, Parameter, Request, Row
from relay.storage.fair_queue import Bounds, FairQueue
from relay.storage.link import Connect, Link, Rows, Statement, expire, hand_over, keep_open, least_busy
from relay.storage.slow_queries import SlowQueries

log = logging.getLogger("relay.storage")

PIPELINE = 4
"""Statements under way on one connection, which runs them in turn: a deeper pipeline only hides the queue."""

HUNG_SECONDS = 2.0
"""A statement still running so long after PostgreSQL's own time-out hangs: its connection is closed."""

CANCEL_AFTER_SECONDS = 0.1
"""A statement that is alone on its connection is cancelled at PostgreSQL if it runs so long after its caller has left:
a cancel request costs a connection, about 3 ms."""

Waiting = tuple[Statement, Rows]


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
        bounds: Bounds | None = None,
        turn_seconds: float = 0.0,
    ) -> None:
        """`depth`: statements under way on one connection. With 1, a statement whose caller has left is cancelled at
        PostgreSQL, and so is one that has run for `turn_seconds` while another owner waits (0: none is).
        """
        self.name = name
        self.seconds = seconds
        self.failures = 0
        self.cancelled = 0
        self.slow_queries: SlowQueries | None = None
        """Gets the queries whose statements ran long."""
        self._connect = connect
        self._count = connections
        self._tasks = tasks
        self._depth = depth
        self._turn_seconds = turn_seconds
        self._links: list[Link] = []
        self._connected = asyncio.Event()
        self._keepers: list[Task] = []
        self._queue: FairQueue[Waiting] = FairQueue(bounds or Bounds(), max(1, (connections * depth + 1) // 2))

    def open(self) -> None:
        """Begin to connect, and reconnect when needed; returns at once. Needs a running loop."""
        self._keepers = [
            self._tasks.service(
                keep_open(self._connect, self.name, self._begin, self._lose), f"connection {number} to {self.name}"
            )
            for number in range(self._count)
        ]

    async def close(self) -> None:
        """Close all connections; waiting statements fail."""
        await cancel(self._keepers)
        self._refuse_waiting("the relay is stopping")

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
    def busy(self) -> int:
        """Connections with a statement under way."""
        return sum(1 for link in self._links if len(link.channel))

    @property
    def waiting(self) -> int:
        """Statements waiting for a place in a pipeline."""
        return len(self._queue)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of parameters of waiting statements."""
        return self._queue.bytes

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

    async def run(self, statement: Statement, seconds: float) -> list[Row]:
        """Run a statement in its owner's turn, for at most `seconds` with its time in the queue.

        Raises QueryCanceled if PostgreSQL ended it, RateLimited if too many of its owner wait, otherwise like `fetch`.
        """
        future = self._submit(statement)
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
        future = self._submit(Statement(text.encode(), parameters))
        timer = asyncio.get_running_loop().call_later(self.seconds, future.cancel)

        def settled(done: Rows) -> None:
            timer.cancel()
            if done.cancelled() or done.exception() is not None:
                self.failures += 1
                then(None)
            else:
                then(done.result())

        future.add_done_callback(settled)

    # -- Places --------------------------------------------------------------------------------------------------------

    def _submit(self, statement: Statement) -> Rows:
        """Send on the connection with the least to do, or queue."""
        link = least_busy(self._links, self._depth)
        if link is not None and self._queue.begin(statement.owner, statement.cost):
            return self._send(link, statement)
        future: Rows = asyncio.get_running_loop().create_future()
        if not self._links:
            future.set_exception(Broken("no connection to the database"))
            return future
        size = sum(len(each) for each in statement.parameters if isinstance(each, bytes | str))
        try:
            ticket = self._queue.add(statement.owner, statement.cost, size, (statement, future))
        except RelayError as error:
            future.set_exception(error)
            return future
        future.add_done_callback(lambda _: self._queue.remove(ticket))
        if link is not None:
            self._fill(link)
        return future

    def _send(self, link: Link, statement: Statement) -> Rows:
        request = link.channel.send(statement.text, statement.parameters)
        if not link.requests:
            link.since = asyncio.get_running_loop().time()
        link.requests.append((statement, request))
        link.cost += statement.cost
        request.future.add_done_callback(lambda _: self._sent(link, request))
        if self._turn_seconds:
            self._limit_turn(link, statement, request)
        return request.future

    def _sent(self, link: Link, request: Request) -> None:
        if link.channel.holds(request):
            # Its caller has left; PostgreSQL's own time-out must end the statement soon, or the connection hangs.
            loop = asyncio.get_running_loop()
            loop.call_later(self.seconds + HUNG_SECONDS, self._give_up, link.channel, request)
            if self._depth == 1:
                loop.call_later(CANCEL_AFTER_SECONDS, self._cancel, link, request)

    def _answered(self, link: Link) -> None:
        """The connection has answered its first statement: charge it, and send what waits."""
        if not link.requests:  # it has ended meanwhile
            return
        statement, _ = link.requests.popleft()
        now = asyncio.get_running_loop().time()
        took = (now - link.since) * 1_000
        link.since = now
        link.cost = link.cost - statement.cost if link.requests else 0.0
        self._queue.end(statement.owner, took - statement.cost)
        if statement.ended is not None:
            statement.ended(took)
        if self.slow_queries is not None and took > self.slow_queries.least_ms:
            self.slow_queries.ran(statement.filters, took)
        self._fill(link)

    def _fill(self, link: Link) -> None:
        """Send statements that wait, as far as there is room on the connection."""
        while len(link.requests) < self._depth and not link.is_cancelling and not link.channel.closed.done():
            taken = self._queue.take()
            if taken is None:
                return
            statement, waiting = taken
            if waiting.done():
                self._queue.end(statement.owner, -statement.cost)
                continue
            hand_over(self._send(link, statement), waiting)

    # -- Statements that take too long ---------------------------------------------------------------------------------

    def _limit_turn(self, link: Link, statement: Statement, request: Request) -> None:
        """End the statement after its turn, as soon as another owner waits."""

        def over() -> None:
            if link.channel.holds(request):
                if self._queue.others_wait(statement.owner):
                    self._cancel(link, request)
                else:
                    loop.call_later(CANCEL_AFTER_SECONDS, over)

        loop = asyncio.get_running_loop()
        loop.call_later(self._turn_seconds, over)

    def _cancel(self, link: Link, request: Request) -> None:
        """Ask PostgreSQL to end the statement that runs, which is this one: it is alone on its connection."""
        if link.channel.holds(request) and not link.is_cancelling:
            self.cancelled += 1
            link.is_cancelling = True  # nothing is sent meanwhile: the request ends whatever it finds
            self._tasks.job(self._cancel_now(link), "cancel a statement")

    async def _cancel_now(self, link: Link) -> None:
        try:
            await link.channel.cancel(self.seconds)
        finally:
            link.is_cancelling = False
            self._fill(link)

    @staticmethod
    def _give_up(channel: Channel, request: Request) -> None:
        if channel.holds(request):
            channel.close("the database hangs")

    # -- Connections ---------------------------------------------------------------------------------------------------

    def _begin(self, link: Link) -> None:
        """Use a new connection."""
        link.channel.on_answer = partial(self._answered, link)
        self._links.append(link)
        self._connected.set()
        self._fill(link)

    def _lose(self, link: Link) -> None:
        """Give the places of an ended connection back."""
        self._links.remove(link)
        link.channel.close("the relay is stopping")
        while link.requests:
            statement, _ = link.requests.popleft()
            self._queue.end(statement.owner, 0.0)
        if not self._links:
            self._connected.clear()
            self._refuse_waiting("the database is gone")
        for other in self._links:
            self._fill(other)

    def _refuse_waiting(self, why: str) -> None:
        for _, waiting in self._queue.clear():
            if not waiting.done():
                waiting.set_exception(Broken(why))

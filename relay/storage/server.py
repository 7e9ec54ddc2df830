"""Pipelined connections to one PostgreSQL server, kept open, behind one bounded queue.

Rule: a statement is a transaction of its own, and no caller waits for it longer than `seconds`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import psycopg

from relay.background import BackgroundTasks, Task, cancel
from relay.protocol.errors import Failed
from relay.storage.channel import Broken, Channel, Parameter, Request, Row
from relay.storage.database import Connection

log = logging.getLogger("relay.storage")

PIPELINE = 4
"""Statements under way on one connection, which runs them in turn: a deeper pipeline only hides the queue."""

MAX_WAITING = 10_000
"""Statements waiting for a place in a pipeline; more are refused."""

HUNG_SECONDS = 2.0
"""A statement still running so long after PostgreSQL's own time-out hangs: its connection is closed."""

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0

Rows = asyncio.Future[list[Row]]
Connect = Callable[[], Awaitable[Connection]]


class Server:
    """`connect` makes one connection; `seconds` is the time-out of a statement, including its time in the queue."""

    def __init__(
        self, connect: Connect, connections: int, seconds: float, tasks: BackgroundTasks, name: str = "primary"
    ) -> None:
        self.name = name
        self.seconds = seconds
        self.failures = 0
        self._connect = connect
        self._count = connections
        self._tasks = tasks
        self._channels: list[Channel] = []
        self._connected = asyncio.Event()
        self._keepers: list[Task] = []
        self._queue: deque[tuple[bytes, Sequence[Parameter], Rows]] = deque()

    def open(self) -> None:
        """Begin to connect, and reconnect when needed; returns at once. Needs a running loop."""
        self._keepers = [
            self._tasks.service(self._keep(), f"connection {number} to {self.name}") for number in range(self._count)
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
        return len(self._channels)

    @property
    def busy(self) -> int:
        """Connections with a statement under way."""
        return sum(1 for channel in self._channels if len(channel))

    @property
    def waiting(self) -> int:
        """Statements waiting for a place in a pipeline."""
        return len(self._queue)

    async def fetch(self, text: str, parameters: Sequence[Parameter] = ()) -> list[Row]:
        """Run one statement with numbered parameters; returns rows in binary format.

        Raises Failed "query timed out" (01-S11), and Failed if the server cannot answer.
        """
        try:
            async with asyncio.timeout(self.seconds):
                return await self._submit(text.encode(), parameters)
        except (psycopg.errors.QueryCanceled, TimeoutError) as error:
            self.failures += 1
            raise Failed("query timed out") from error
        except (psycopg.Error, Broken) as error:
            self.failures += 1
            if not isinstance(error, Broken | psycopg.OperationalError):
                log.error("a statement failed: %s", error)
            raise Failed("the database cannot answer now, try again") from error

    def ask(self, text: str, parameters: Sequence[Parameter], then: Callable[[list[Row] | None], None]) -> None:
        """Like `fetch` without a task: `then` gets the rows in a later turn, None if the server did not answer."""
        future = self._submit(text.encode(), parameters)
        timer = asyncio.get_running_loop().call_later(self.seconds, future.cancel)

        def settled(done: Rows) -> None:
            timer.cancel()
            if done.cancelled() or done.exception() is not None:
                self.failures += 1
                then(None)
            else:
                then(done.result())

        future.add_done_callback(settled)

    def _submit(self, text: bytes, parameters: Sequence[Parameter]) -> Rows:
        """Send on the connection with the shortest pipeline, or queue."""
        channel = min(self._channels, key=len, default=None)
        if channel is not None and len(channel) < PIPELINE:
            return self._send(channel, text, parameters)
        future: Rows = asyncio.get_running_loop().create_future()
        if channel is None or len(self._queue) >= MAX_WAITING:
            future.set_exception(Broken("no connection to the database" if channel is None else "too many queries"))
        else:
            self._queue.append((text, parameters, future))
        return future

    def _send(self, channel: Channel, text: bytes, parameters: Sequence[Parameter]) -> Rows:
        request = channel.send(text, parameters)
        request.future.add_done_callback(lambda future: self._sent(channel, request, future))
        return request.future

    def _sent(self, channel: Channel, request: Request, future: Rows) -> None:
        if future.cancelled() and channel.holds(request):
            # The caller was cancelled; PostgreSQL's own time-out must end the statement soon, or the connection hangs.
            asyncio.get_running_loop().call_later(self.seconds + HUNG_SECONDS, self._give_up, channel, request)

    def _drain(self, channel: Channel) -> None:
        """The channel has answered: send statements that wait."""
        while self._queue and len(channel) < PIPELINE and not channel.closed.done():
            text, parameters, waiting = self._queue.popleft()
            if not waiting.done():
                _hand_over(self._send(channel, text, parameters), waiting)

    @staticmethod
    def _give_up(channel: Channel, request: Request) -> None:
        if channel.holds(request):
            channel.close("the database hangs")

    async def _keep(self) -> None:
        """Keep one connection open: connect again whenever it breaks."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                channel = Channel(await self._connect())
            except (psycopg.Error, OSError):
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
                continue
            pause = FIRST_PAUSE_SECONDS
            channel.on_answer = partial(self._drain, channel)
            self._channels.append(channel)
            self._connected.set()
            try:
                reason = await asyncio.shield(channel.closed)
                log.warning("a connection to %s ended: %s", self.name, reason)
            finally:
                self._channels.remove(channel)
                channel.close("the relay is stopping")
                if not self._channels:
                    self._connected.clear()
                    self._refuse_waiting("the database is gone")

    def _refuse_waiting(self, why: str) -> None:
        while self._queue:
            _, _, waiting = self._queue.popleft()
            if not waiting.done():
                waiting.set_exception(Broken(why))


def _hand_over(source: Rows, target: Rows) -> None:
    """Complete `target` as `source` completes; cancel `source` if `target` is cancelled."""

    def settle(done: Rows) -> None:
        if target.done():
            done.cancelled() or done.exception()  # retrieved, so that asyncio does not report it
        elif done.cancelled():
            target.cancel()
        elif (error := done.exception()) is not None:
            target.set_exception(error)
        else:
            target.set_result(done.result())

    def give_up(done: Rows) -> None:
        if done.cancelled():
            source.cancel()

    source.add_done_callback(settle)
    target.add_done_callback(give_up)

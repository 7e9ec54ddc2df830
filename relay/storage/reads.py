"""Queries with a position: what comes back is exactly the state after that change.

Rule: rows and position are read in one statement, so they belong to one snapshot, and a snapshot is a prefix of the
order.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from functools import partial

import psycopg
from msgspec import Struct

from relay.changes.row import created_at_of, id_of
from relay.protocol.errors import Failed
from relay.protocol.filters import Filter
from relay.storage.channel import Broken, Channel, Parameter, Request, Row, integer
from relay.storage.database import WALKS_ALONE, connect
from relay.storage.filter_sql import asks, query_statement, rows_wanted

log = logging.getLogger("relay.reads")

PIPELINE = 4
"""Queries under way on one connection, where one runs after the other: a deeper pipeline would only hide the queue."""

MAX_WAITING = 10_000
"""Queries that wait for a place in a pipeline; more are refused."""

HUNG_SECONDS = 2.0
"""A query that PostgreSQL should have ended so long ago hangs: its connection is given up."""


class Result(Struct, frozen=True, gc=False):
    """Events newest first, ties by the lowest id, each once, as JSON texts; the state after change `position`."""

    position: int
    events: Sequence[bytes]


class Part(Struct, frozen=True, gc=False):
    """What answers one filter, newest first. `complete` is True when no stored match lies below the last text."""

    texts: Sequence[bytes]
    complete: bool


class Reads:
    """The read side of one process: some connections, each with a pipeline."""

    def __init__(self, connections: int, query_seconds: float) -> None:
        self.queries = 0
        self.failures = 0
        self._connections = connections
        self.query_seconds = query_seconds
        self._channels: list[Channel] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._queue: deque[tuple[bytes, Sequence[Parameter], asyncio.Future[list[Row]]]] = deque()

    async def open(self) -> None:
        """Connect, and stay connected; does not wait for the database, so that a relay can start before it."""
        loop = asyncio.get_running_loop()
        self._keepers = [loop.create_task(self._keep(), name="relay read connection") for _ in range(self._connections)]
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Give all connections up; queries that wait get Failed."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._refuse_waiting("the relay is stopping")

    @property
    def connected(self) -> int:
        """Connections that can be used now."""
        return len(self._channels)

    @property
    def busy(self) -> int:
        """Connections on which a query is under way."""
        return sum(1 for channel in self._channels if len(channel))

    @property
    def waiting(self) -> int:
        """Queries that wait for a place in a pipeline."""
        return len(self._queue)

    async def query(self, filters: Sequence[Filter]) -> Result:
        """What is stored for `filters` (their union), with its position.

        Raises Failed "query timed out" when the time budget is used up (01-S11) and Failed for a database that
        cannot answer.
        """
        position, parts = await self.parts([flt for flt in filters if asks(flt)])
        return Result(position, parts[0].texts if len(parts) == 1 else merged([part.texts for part in parts]))

    async def parts(self, filters: Sequence[Filter]) -> tuple[int, list[Part]]:
        """The position, and what is stored at it for each of `filters`, all of which ask for something.

        Raises Failed as `query` does.
        """
        self.queries += 1
        asked = query_statement(filters, int(time.time()))
        ((position, *found),) = await self.fetch(asked.text, asked.parameters)
        parts = [
            _NOTHING if texts is None else _part(texts.split(b"\n"), flt)
            for texts, flt in zip(found, filters, strict=True)
        ]
        return integer(position), parts

    async def fetch(self, text: str, parameters: Sequence[Parameter] = ()) -> list[Row]:
        """Run one statement with numbered parameters; rows of binary values. Raises Failed as `query` does."""
        try:
            async with asyncio.timeout(self.query_seconds):
                return await self._submit(text.encode(), parameters)
        except (psycopg.errors.QueryCanceled, TimeoutError) as error:
            self.failures += 1
            raise Failed("query timed out") from error
        except (psycopg.Error, Broken) as error:
            self.failures += 1
            if not isinstance(error, Broken | psycopg.OperationalError):
                log.error("a statement failed: %s", error)
            raise Failed("the database cannot answer now, try again") from error

    def _submit(self, text: bytes, parameters: Sequence[Parameter]) -> "asyncio.Future[list[Row]]":
        """Send to the connection with the shortest pipeline, or queue; the future of the rows."""
        channel = min(self._channels, key=len, default=None)
        if channel is not None and len(channel) < PIPELINE:
            return self._send(channel, text, parameters)
        future: asyncio.Future[list[Row]] = asyncio.get_running_loop().create_future()
        if channel is None or len(self._queue) >= MAX_WAITING:
            future.set_exception(Broken("no connection to the database" if channel is None else "too many queries"))
        else:
            self._queue.append((text, parameters, future))
        return future

    def _send(self, channel: Channel, text: bytes, parameters: Sequence[Parameter]) -> "asyncio.Future[list[Row]]":
        request = channel.send(text, parameters)
        request.future.add_done_callback(lambda future: self._sent(channel, request, future))
        return request.future

    def _sent(self, channel: Channel, request: Request, future: "asyncio.Future[list[Row]]") -> None:
        if future.cancelled() and channel.holds(request):
            # Whoever asked is gone; PostgreSQL's own time limit must end the query soon, or the connection hangs.
            wait = self.query_seconds + HUNG_SECONDS
            asyncio.get_running_loop().call_later(wait, self._give_up, channel, request)

    def _drain(self, channel: Channel) -> None:
        """The channel has answered, perhaps somebody who is gone: there is room for whoever waits."""
        while self._queue and len(channel) < PIPELINE and not channel.closed.done():
            text, parameters, waiting = self._queue.popleft()
            if not waiting.done():
                _hand_over(self._send(channel, text, parameters), waiting)

    @staticmethod
    def _give_up(channel: Channel, request: Request) -> None:
        if channel.holds(request):
            channel.close("the database hangs")

    async def _keep(self) -> None:
        """Keep one connection: make it again whenever it breaks."""
        pause = 0.05
        while True:
            try:
                channel = Channel(
                    await connect(application="relay read", statement_seconds=self.query_seconds, **WALKS_ALONE)
                )
            except (psycopg.Error, OSError):
                await asyncio.sleep(pause)
                pause = min(1.0, pause * 2)
                continue
            pause = 0.05
            channel.on_answer = partial(self._drain, channel)
            self._channels.append(channel)
            try:
                reason = await asyncio.shield(channel.closed)
                log.warning("a connection to the database ended: %s", reason)
            finally:
                self._channels.remove(channel)
                channel.close("the relay is stopping")
                if not self._channels:
                    self._refuse_waiting("the database is gone")

    def _refuse_waiting(self, why: str) -> None:
        while self._queue:
            _, _, waiting = self._queue.popleft()
            if not waiting.done():
                waiting.set_exception(Broken(why))


def _hand_over(source: "asyncio.Future[list[Row]]", target: "asyncio.Future[list[Row]]") -> None:
    """Have `target` end as `source` does."""

    def settle(done: "asyncio.Future[list[Row]]") -> None:
        if target.done():
            done.cancelled() or done.exception()  # looked at, so that it is not reported as forgotten
        elif done.cancelled():
            target.cancel()
        elif (error := done.exception()) is not None:
            target.set_exception(error)
        else:
            target.set_result(done.result())

    source.add_done_callback(settle)


def merged(pages: Sequence[Sequence[bytes]]) -> Sequence[bytes]:
    """The union of pages in one order, each event once (01-F14)."""
    texts = {id_of(text): text for page in pages for text in page}
    return sorted(texts.values(), key=lambda text: (-created_at_of(text), id_of(text)))


_NOTHING = Part((), True)


def _part(texts: list[bytes], flt: Filter) -> Part:
    """Cut as `relay.changes.overlay.cut` does: the relay's own cap takes the whole boundary second (01-F18)."""
    everything = len(texts) < rows_wanted(flt)
    if len(texts) <= flt.limit:
        return Part(texts, everything)
    end = flt.limit
    boundary = created_at_of(texts[end - 1])
    while end < len(texts) and created_at_of(texts[end]) == boundary:
        end += 1
    return Part(texts[:end], everything and end == len(texts))

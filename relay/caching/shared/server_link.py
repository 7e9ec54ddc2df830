"""The link to one server: its connection, and the circuit breaker that fails calls at once while it is slow or down.

Rule: while the connection is closed, calls fail at once; one probe a second tries to connect again.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import hiredis

from relay.background import BackgroundTasks, Task, cancel
from relay.caching.shared.connection import (
    Connection,
    Counters,
    OnReply,
    Part,
    Reply,
    Unavailable,
    connect,
    pack,
    settle,
)
from relay.redis_url import Address, Endpoint

PROBE_SECONDS = 1.0
CONNECT_ERRORS = (OSError, TimeoutError, Unavailable, hiredis.HiredisError)
"""Errors of a connection attempt."""
NOT_YET = "not connected yet"
logger = logging.getLogger(__name__)


class Connector:
    """Opens connections: credentials, TLS, time-out, counters."""

    __slots__ = ("address", "counters", "tasks", "timeout_seconds")

    def __init__(self, address: Address, timeout_seconds: float, counters: Counters, tasks: BackgroundTasks) -> None:
        self.address = address
        self.timeout_seconds = timeout_seconds
        self.counters = counters
        self.tasks = tasks

    async def master(self, endpoint: Endpoint) -> Connection:
        """A connection to a master after login. Raises one of CONNECT_ERRORS; Unavailable if it is no master."""
        connection = await self._open(endpoint)
        try:
            greeting = [connection.call(*parts) for parts in self.address.greeting()]
            role = connection.call(b"ROLE")
            await all_of([*greeting, role])
            if role.result()[0] != b"master":
                raise Unavailable(f"{endpoint} is no master")
        except BaseException:
            connection.close("not greeted")
            raise
        return connection

    async def ask(self, endpoint: Endpoint, *commands: tuple[Part, ...], sentinel: bool = False) -> list[Reply]:
        """The replies of any server or Sentinel over a connection of its own. Raises one of CONNECT_ERRORS."""
        address = self.address
        connection = await self._open(endpoint)
        try:
            greeting = address.sentinel_greeting() if sentinel else address.greeting()
            answers = [connection.call(*parts) for parts in (*greeting, *commands)]
            await all_of(answers)
            return [answer.result() for answer in answers[len(greeting) :]]
        finally:
            connection.close("asked")

    async def _open(self, endpoint: Endpoint) -> Connection:
        return await connect(endpoint, self.address.tls, self.timeout_seconds, self.counters)


async def all_of(answers: "list[asyncio.Future[Reply]]") -> None:
    """Wait for all futures; raises the first error."""
    for answer in await asyncio.gather(*answers, return_exceptions=True):
        if isinstance(answer, BaseException):
            raise answer


class ServerLink:
    """Keeps one connection to the server that `find` names. `on_lost` is called when it was lost or could not be made.
    With `look_again_seconds`, `find` is asked again at that interval; another answer closes the connection.
    """

    def __init__(
        self,
        connector: Connector,
        find: Callable[[], Awaitable[Endpoint]],
        on_lost: Callable[[], None] | None = None,
        look_again_seconds: float | None = None,
    ) -> None:
        self.endpoint: Endpoint | None = None
        self._connector = connector
        self._find = find
        self._on_lost = on_lost
        self._look_again_seconds = look_again_seconds
        self._connection: Connection | None = None
        self._reason = NOT_YET
        self._made = 0
        self._task: Task | None = None

    def start(self) -> None:
        """Begin to connect; needs a running loop and returns at once."""
        self._task = self._connector.tasks.service(self._run(), "link to the shared cache")

    async def stop(self) -> None:
        """Close the connection; waiting calls get Unavailable."""
        await cancel([self._task])

    @property
    def is_up(self) -> bool:
        """True while there is an open connection."""
        return self._connection is not None and self._connection.is_open

    def send(self, packed: bytes, on_reply: OnReply) -> None:
        """Send a packed command; without a connection `on_reply` gets Unavailable in the next turn of the loop."""
        connection = self._connection
        if connection is None:
            self._connector.counters.failures += 1
            asyncio.get_running_loop().call_soon(on_reply, Unavailable(self._reason))
        else:
            connection.send(packed, on_reply)

    def call(self, *parts: Part) -> "asyncio.Future[Reply]":
        """Send a command; the future gives its reply or raises its error."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.send(pack(parts), lambda reply: settle(future, reply))
        return future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await self._serve()
            except CONNECT_ERRORS as error:
                self._lost(str(error) or type(error).__name__)
            except Exception:
                logger.exception("the link to the shared cache failed")
                self._lost("internal")
            pause = PROBE_SECONDS * random.uniform(0.9, 1.1)  # noqa: S311  processes need not probe together
            await asyncio.sleep(max(0.0, started + pause - loop.time()))

    async def _serve(self) -> None:
        """Connect and wait until the connection ends."""
        endpoint = await self._find()
        connection = await self._connector.master(endpoint)
        try:
            self._found(endpoint, connection)
            await self._stay(endpoint, connection)
        finally:
            connection.close("given up")
            self._connection = None
        self._lost(connection.closed.result())

    async def _stay(self, endpoint: Endpoint, connection: Connection) -> None:
        while connection.is_open:
            await asyncio.wait([connection.closed], timeout=self._look_again_seconds)
            if connection.is_open and await self._moved(endpoint):
                connection.close(f"{endpoint} is no longer the master")

    async def _moved(self, endpoint: Endpoint) -> bool:
        try:
            return await self._find() != endpoint
        except CONNECT_ERRORS:
            return False  # no Sentinel names another

    def _found(self, endpoint: Endpoint, connection: Connection) -> None:
        self._connector.counters.reconnects += 1 if self._made else 0
        self._made += 1
        self.endpoint, self._connection = endpoint, connection
        if self._reason == NOT_YET:  # as at every start: no outage was logged
            logger.debug("the shared cache at %s answers", endpoint)
        else:
            logger.info("the shared cache at %s answers again", endpoint)
        self._reason = ""  # so that the next loss is logged, whatever its reason

    def _lost(self, reason: str) -> None:
        if reason != self._reason:
            logger.warning("the shared cache is unavailable: %s", reason)
        self._reason = reason
        if self._on_lost is not None:
            self._on_lost()

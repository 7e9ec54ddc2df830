"""How many connections a server has: a least number that is always open, more while statements wait, to a greatest one.

A statement that finds all pipelines full waits in the queue; if something still waits GROW_SECONDS later, one more
connection is made, and so on. A connection beyond the least number is closed after it was idle for a while. A worn one
is replaced: the new one is in use before the old one gets no more statements.
"""

import asyncio
import logging
import random
from collections.abc import Callable

import psycopg

from relay.background import BackgroundTasks, Task, cancel
from relay.conf import Life
from relay.storage.channel import Channel
from relay.storage.link import RETIRED, Connect, Link

log = logging.getLogger("relay.storage")

GROW_SECONDS = 0.05
"""Statements that wait longer are too many for the connections, not a burst: a connection costs PostgreSQL 3 ms."""

REFUSED_SECONDS = 5.0
"""The pause before the next attempt after PostgreSQL refused one more connection."""

STOPPING = "the relay is stopping"

LOOK_SECONDS = 1.0
"""How often a connection is looked at: whether it is idle or worn."""

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0


class Pool:
    """The connections to the server `name`, `least` to `most` of them. `begin` gets each one when it can be used, `end`
    when it has ended; `is_needed` says whether statements wait.
    """

    def __init__(
        self,
        connect: Connect,
        name: str,
        tasks: BackgroundTasks,
        *,
        least: int,
        most: int,
        life: Life,
        begin: Callable[[Link], None],
        end: Callable[[Link], None],
        is_needed: Callable[[], bool],
        pause_seconds: float = LONGEST_PAUSE_SECONDS,
    ) -> None:
        """`pause_seconds`: between two attempts to connect, at most."""
        self.links: list[Link] = []
        self.failures = 0
        """Attempts to connect that failed."""
        self.name = name
        self.least = least
        self.most = max(least, most)
        self._connect = connect
        self._tasks = tasks
        self._life = life
        self._begin = begin
        self._end = end
        self._is_needed = is_needed
        self._pause_seconds = pause_seconds
        self._hurried = asyncio.Event()
        self._keepers: list[Task] = []
        self._growing: Task | asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin to connect, and reconnect when needed; returns at once. Needs a running loop."""
        self._keepers = [
            self._tasks.service(self._keep(), f"connection {number} to {self.name}") for number in range(self.least)
        ]

    async def close(self) -> None:
        """Close all connections."""
        if isinstance(self._growing, asyncio.TimerHandle):
            self._growing.cancel()
        else:
            await cancel([self._growing])
        await cancel(self._keepers)
        self.drop(STOPPING)

    def drop(self, why: str) -> None:
        """Close all connections now, whatever is under way on them; new ones are made."""
        for link in list(self.links):
            link.channel.close(why)
            self._lose(link)

    def hurry(self) -> None:
        """Try to connect now, whatever the pause since the last failure."""
        self._hurried.set()

    def grow(self) -> None:
        """Statements wait: make another connection if they still do in a moment."""
        if self._growing is None and self.links and len(self.links) < self.most:
            self._growing = asyncio.get_running_loop().call_later(GROW_SECONDS, self._add)

    def _add(self) -> None:
        self._growing = None
        if self._is_needed() and self.links and len(self.links) < self.most:
            self._growing = self._tasks.job(self._lend(), f"another connection to {self.name}")

    async def _lend(self) -> None:
        """Make one connection; it is closed when it is idle or worn, and not replaced."""
        try:
            link = await self._new()
        except (psycopg.Error, OSError) as error:
            log.warning("another connection to %s is refused: %s", self.name, _line(error))
            await asyncio.sleep(REFUSED_SECONDS)
            return
        finally:
            self._growing = None
        self._tasks.job(self._guest(link), f"a connection beyond the least to {self.name}")
        if self._is_needed():
            self.grow()

    async def _guest(self, link: Link) -> None:
        await self._used(link, self._life.idle_seconds)
        if not link.channel.closed.done():
            link.retire()

    async def _keep(self) -> None:
        """Keep one connection open: another one whenever it breaks or is worn. Runs until it is cancelled."""
        pause, worn = FIRST_PAUSE_SECONDS, None
        while True:
            try:
                link = await self._new()
            except (psycopg.Error, OSError) as error:
                if pause == FIRST_PAUSE_SECONDS:
                    log.warning("%s cannot be connected: %s", self.name, _line(error))
                await self._wait(pause)
                pause = min(self._pause_seconds, pause * 2)
                continue
            pause = FIRST_PAUSE_SECONDS
            if worn is not None:
                worn.retire()
            await self._used(link)
            worn = link

    async def _wait(self, seconds: float) -> None:
        self._hurried.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._hurried.wait()
        except TimeoutError:
            pass

    async def _new(self) -> Link:
        try:
            link = Link(Channel(await self._connect()))
        except (psycopg.Error, OSError):
            self.failures += 1
            raise
        link.channel.closed.add_done_callback(lambda _: self._lose(link))
        self.links.append(link)
        self._begin(link)
        return link

    async def _used(self, link: Link, idle_seconds: float = 0.0) -> None:
        """Return when the connection has ended, is worn, or was idle for `idle_seconds` (0: however long)."""
        loop, life = asyncio.get_running_loop(), self._life
        born = link.begun - random.uniform(0, life.age_seconds / 10)  # noqa: S311 - not all at once
        while True:
            await asyncio.wait([link.channel.closed], timeout=LOOK_SECONDS)
            now = loop.time()
            if link.channel.closed.done() or life.is_over(now - born, link.uses):
                return
            if idle_seconds and not link.requests and now - link.since >= idle_seconds:
                return

    def _lose(self, link: Link) -> None:
        if link in self.links:
            self.links.remove(link)
            reason = link.channel.closed.result()
            if reason not in {RETIRED, STOPPING}:
                log.warning("a connection to %s ended: %s", self.name, reason)
            self._end(link)


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__

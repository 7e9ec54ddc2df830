"""Sends statements over the connections to one server in their owners' turns, and charges what each of them took.

A statement is sent at once if there is room for it and no other one is to be sent first. Otherwise it waits in the
queue until a connection has answered. Rule: one owner has at most half of what is under way, INTERNAL excepted.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from relay.background import BackgroundTasks
from relay.protocol.errors import RelayError
from relay.storage.channel import Broken
from relay.storage.fair_queue import FairQueue
from relay.storage.link import RETIRED, Link, Rows, Statement, least_busy
from relay.storage.overdue import Overdue
from relay.storage.request import Request
from relay.storage.slow_queries import SlowQueries

Waiting = tuple[Statement, Rows]


def places(connections: int, depth: int) -> int:
    """How many statements of one owner may be under way: half of all."""
    return max(1, (connections * depth + 1) // 2)


class Dispatcher:
    """Sends on `links`, the connections of the server now, each with up to `depth` statements under way."""

    def __init__(
        self,
        links: Sequence[Link],
        queue: FairQueue[Waiting],
        tasks: BackgroundTasks,
        seconds: float,
        *,
        depth: int,
        grouped: bool,
        turn_seconds: float,
        grow: Callable[[], None],
    ) -> None:
        """`seconds`, `depth`, `grouped` and `turn_seconds` are those of `relay.storage.server.Server`. `grow` is called
        when a statement finds no room.
        """
        self.slow_queries: SlowQueries | None = None
        """Gets the queries whose statements ran long."""
        self.overdue = Overdue(queue, tasks, seconds, turn_seconds, self.fill)
        self._links = links
        self._queue = queue
        self._depth = depth
        self._grouped = grouped
        self._grow = grow

    def begin(self, link: Link) -> None:
        """Use a new connection."""
        link.channel.on_answer = partial(self._answered, link)
        self._queue.set_places(places(len(self._links), self._depth))
        self.fill(link)

    def lose(self, link: Link) -> None:
        """Give the places of an ended connection back."""
        self._queue.set_places(places(len(self._links), self._depth))
        while link.requests:
            statement, _ = link.requests.popleft()
            self._queue.end(statement.owner, 0.0)
        for other in self._links:
            self.fill(other)

    def refuse_waiting(self, why: str) -> None:
        """Fail everything that waits."""
        for _, waiting in self._queue.clear():
            if not waiting.done():
                waiting.set_exception(Broken(why))

    def submit(self, statement: Statement, *, is_accepted: bool = False) -> Rows:
        """Send on the connection with the least to do, or queue."""
        link = least_busy(self._links, self._depth, self._grouped)
        if link is not None and self._queue.begin(statement.owner, statement.cost):
            return self._send(link, statement)
        future: Rows = asyncio.get_running_loop().create_future()
        if not self._links:
            future.set_exception(Broken("no connection to the database"))
            return future
        size = len(statement.text) + sum([len(each) for each in statement.parameters if isinstance(each, bytes | str)])
        try:
            item = statement, future
            ticket = self._queue.add(statement.owner, statement.cost, size, item, is_accepted=is_accepted)
        except RelayError as error:
            future.set_exception(error)
            return future
        future.add_done_callback(lambda _: self._queue.remove(ticket))
        if link is not None:
            self.fill(link)
        else:
            self._grow()
        return future

    def fill(self, link: Link) -> None:
        """Send statements that wait, as far as there is room on the connection."""
        while self._has_room(link):
            taken = self._queue.take()
            if taken is None:
                return
            statement, waiting = taken
            if waiting.done():
                self._queue.end(statement.owner, -statement.cost)
                continue
            self._send(link, statement, waiting)

    def _send(self, link: Link, statement: Statement, future: Rows | None = None) -> Rows:
        request = link.channel.send(
            statement.text, statement.parameters, grouped=self._grouped, future=future, shared=statement.shared
        )
        if not link.requests:
            link.since = asyncio.get_running_loop().time()
        link.requests.append((statement, request))
        link.uses += 1
        link.cost += statement.cost
        request.future.add_done_callback(lambda _: self._sent(link, request))
        if self.overdue.turn_seconds:
            self.overdue.limit_turn(link, statement, request)
        return request.future

    def _sent(self, link: Link, request: Request) -> None:
        if link.channel.holds(request):
            self.overdue.left(link, request, is_alone=self._depth == 1)

    def _answered(self, link: Link, count: int) -> None:
        """The connection has answered its first `count` statements: charge those that ran, and send what waits."""
        if not link.requests:  # it has ended meanwhile
            return
        ran, cost = [], 0.0
        for _ in range(count):
            statement, request = link.requests.popleft()
            link.cost -= statement.cost
            if request.is_skipped:
                self._queue.end(statement.owner, -statement.cost)
            else:
                ran.append(statement)
                cost += statement.cost
        now = asyncio.get_running_loop().time()
        took = (now - link.since) * 1_000
        link.since = now
        if not link.requests:
            link.cost = 0.0
        for statement in ran:
            own = took if len(ran) == 1 else took * statement.cost / cost
            self._queue.end(statement.owner, own - statement.cost)
            if statement.ended is not None:
                statement.ended(own)
            if self.slow_queries is not None and own > self.slow_queries.least_ms:
                self.slow_queries.ran(statement.filters, own)
        if link.is_retired and not link.requests:
            link.channel.close(RETIRED)
        self.fill(link)

    def _has_room(self, link: Link) -> bool:
        if link.is_cancelling or link.is_retired or link.channel.closed.done():
            return False
        return link.takes_more(self._depth) if self._grouped else len(link.requests) < self._depth

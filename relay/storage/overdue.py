"""Ends statements at PostgreSQL whose caller has left, or that take more than their turn while another owner waits."""

import asyncio
from collections.abc import Callable
from typing import Any

from relay.background import BackgroundTasks
from relay.storage.channel import Channel
from relay.storage.fair_queue import FairQueue
from relay.storage.link import Link, Statement
from relay.storage.request import Request

HUNG_SECONDS = 2.0
"""A statement that still runs this long after PostgreSQL's own time-out hangs: its connection is closed."""

CANCEL_AFTER_SECONDS = 0.1
"""How long a statement that is alone on its connection goes on after its caller has left, before it is cancelled at
PostgreSQL: a cancel request costs a connection, about 3 ms."""


class Overdue:
    """The statements of one server. Counts `cancelled` ones."""

    def __init__(
        self,
        queue: FairQueue[Any],
        tasks: BackgroundTasks,
        seconds: float,
        turn_seconds: float,
        fill: Callable[[Link], None],
    ) -> None:
        """`seconds`: PostgreSQL's time-out. `turn_seconds`: a statement is ended after that while another owner waits
        in `queue` (0: none is). `fill` gets a connection that has room again.
        """
        self.cancelled = 0
        self.turn_seconds = turn_seconds
        self._queue = queue
        self._tasks = tasks
        self._seconds = seconds
        self._fill = fill

    def left(self, link: Link, request: Request, *, is_alone: bool) -> None:
        """The caller of a statement that runs has left: PostgreSQL's own time-out must end it soon, or the connection
        hangs.
        """
        loop = asyncio.get_running_loop()
        loop.call_later(self._seconds + HUNG_SECONDS, self._give_up, link.channel, request)
        if is_alone:
            loop.call_later(CANCEL_AFTER_SECONDS, self._cancel, link, request)

    def limit_turn(self, link: Link, statement: Statement, request: Request) -> None:
        """End the statement after its turn, as soon as another owner waits."""

        def over() -> None:
            if link.channel.holds(request):
                if self._queue.others_wait(statement.owner):
                    self._cancel(link, request)
                else:
                    loop.call_later(CANCEL_AFTER_SECONDS, over)

        loop = asyncio.get_running_loop()
        loop.call_later(self.turn_seconds, over)

    def _cancel(self, link: Link, request: Request) -> None:
        """Ask PostgreSQL to end the statement that runs, which is this one: it is alone on its connection."""
        if link.channel.holds(request) and not link.is_cancelling:
            self.cancelled += 1
            link.is_cancelling = True  # nothing is sent meanwhile: the request ends whatever it finds
            self._tasks.job(self._cancel_now(link), "cancel a statement")

    async def _cancel_now(self, link: Link) -> None:
        try:
            await link.channel.cancel(self._seconds)
        finally:
            link.is_cancelling = False
            self._fill(link)

    @staticmethod
    def _give_up(channel: Channel, request: Request) -> None:
        if channel.holds(request):
            channel.close("the database hangs")

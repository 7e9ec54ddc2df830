"""A connection to PostgreSQL in use: what is under way on it, and when it is worn (too old, or used too often).

`relay.storage.dispatcher` decides which statement runs where and when, `relay.storage.pool` how many connections there
are.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from relay.protocol.filters import Filter
from relay.storage.channel import Channel
from relay.storage.database import Connection
from relay.storage.fair_queue import INTERNAL
from relay.storage.request import Parameter, Request, Row, Shared

RETIRED = "not needed any more"
"""Why a connection is closed that had its time or its uses, or was idle."""

Rows = asyncio.Future[list[Row]]
Connect = Callable[[], Awaitable[Connection]]


class Statement:
    """A statement on its way: `owner` is charged `cost` milliseconds when it is sent, and the rest of what it took
    afterwards. `ended` gets the milliseconds that it ran. `filters`: those of a client's query. `shared`: what another
    statement of its snapshot may spare it.
    """

    __slots__ = ("cost", "ended", "filters", "owner", "parameters", "shared", "text")

    def __init__(
        self,
        text: bytes,
        parameters: Sequence[Parameter],
        owner: str = INTERNAL,
        cost: float = 1.0,
        ended: Callable[[float], None] | None = None,
        *,
        filters: Sequence[Filter] = (),
        shared: Shared | None = None,
    ) -> None:
        self.text = text
        self.parameters = parameters
        self.owner = owner
        self.cost = cost
        self.ended = ended
        self.filters = filters
        self.shared = shared


class Link:
    """A connection in use: what is under way on it in order, and since when the first one runs (or none does).

    `is_retired`: it takes no more statements, and is closed when it has answered those under way.
    """

    __slots__ = ("begun", "channel", "cost", "is_cancelling", "is_retired", "requests", "since", "uses")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.cost = 0.0
        self.requests: deque[tuple[Statement, Request]] = deque()
        self.begun = self.since = asyncio.get_running_loop().time()
        self.uses = 0
        self.is_cancelling = False
        self.is_retired = False

    def takes_more(self, group: int) -> bool:
        """True if another statement may leave with those of this turn, `group` in all."""
        count = len(self.requests)
        return (not count or self.channel.open_group == count < group) and not self.is_retired

    def retire(self) -> None:
        """Close it as soon as nothing is under way."""
        self.is_retired = True
        if not self.requests:
            self.channel.close(RETIRED)


def least_busy(links: Sequence[Link], depth: int, grouped: bool = False) -> Link | None:
    """A connection with room, the one that is free the soonest; None if all have `depth` statements under way.

    What runs on it is taken to run as long again as it has run. `grouped`: one whose group of `depth` statements is
    still open, or that has none under way.
    """
    if grouped:
        return next((link for link in links if link.takes_more(depth)), None)
    for link in links:
        if not link.requests and not link.is_cancelling and not link.is_retired:
            return link
    best, least = None, 0.0
    now = asyncio.get_running_loop().time()
    for link in links:
        if len(link.requests) < depth and not link.is_cancelling and not link.is_retired:
            left = link.cost + (now - link.since) * 1_000
            if best is None or left < least:
                best, least = link, left
    return best


def expire(future: Rows) -> None:
    """The time of a statement is over. Cheaper than asyncio.timeout, of which 3 us are for each statement."""
    if not future.done():
        future.set_exception(TimeoutError())

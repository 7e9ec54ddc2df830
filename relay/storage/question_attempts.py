"""Asks one server for the answer to a question: with one statement, or with others if its answer says so.

The first statement walks the likely indexes, has no condition for what is being removed, and returns texts. Rule: each
statement that follows answers the whole question by itself, at a position of its own.
"""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Protocol

from relay.protocol.errors import Failed
from relay.storage.filter_sql import BOUNDS, LARGE, Bounds, attempts, query_statement
from relay.storage.query_cost import Cost, query_cost
from relay.storage.question import Question
from relay.storage.read_result import Part, Stopped, part_of
from relay.storage.request import Parameter, Row
from relay.storage.slow_queries import SlowQueries

_TRUE = b"\x01"
"""True in PostgreSQL's binary format."""


class Fetch(Protocol):
    """Runs a statement at one server."""

    def __call__(
        self, text: str, parameters: Sequence[Parameter], owner: str, cost: Cost, seconds: float, *, rest: str = ""
    ) -> Awaitable[tuple[int, list[Row]]]:
        """The position and the rows. `rest`: the text without the columns that are the same in all of its snapshot."""
        ...


Answered = tuple[int, list[Part]]
"""A position, and the answer to each filter at it."""


class TooBroad(Failed):
    """the filter matches too little of what must be read for it, narrow it"""


class QuestionAttempts:
    """Asks whichever server it is told to, within `bounds`, and counts what took more than one statement."""

    def __init__(self) -> None:
        self.second_attempts = 0
        """Statements after one that stopped at its bound on rows read."""
        self.too_broad = 0
        """Queries that would have to read too much."""
        self.bounds: Bounds = BOUNDS
        self.slow_queries = SlowQueries()
        self._vanishing = False  # the last query found that rows of some key are still to be removed

    async def ask(self, fetch: Fetch, question: Question) -> Answered:
        """The answer of one server, at its own position.

        Raises TooBroad if the last attempt also stopped at its bound, and what `fetch` raises.
        """
        filters = question.filters
        cost, now = query_cost(filters), int(time.time())
        clock = asyncio.get_running_loop().time
        number, keyed = 0, False
        vanishing = self._vanishing
        while True:
            asked = query_statement(
                filters, now, question.audience, self.bounds, attempt=number, keyed=keyed, vanishing=vanishing
            )
            position, (found,) = await fetch(
                asked.text, asked.parameters, question.owner, cost, question.ends - clock(), rest=asked.rest
            )
            self._vanishing = found[1] == _TRUE
            if self._vanishing and not vanishing:
                vanishing = True
                continue
            if LARGE in found:
                keyed = True
                continue
            try:
                if len(filters) == 1:
                    return position, [part_of(found[2], filters[0], asked.ends[0])]
                return position, [
                    part_of(lines, flt, has_end)
                    for lines, flt, has_end in zip(found[2:], filters, asked.ends, strict=True)
                ]
            except Stopped:
                self.slow_queries.stopped(filters)
                number += 1
                if number == attempts(filters, question.audience):
                    self.too_broad += 1
                    raise TooBroad from None
                self.second_attempts += 1

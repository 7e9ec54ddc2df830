"""Queries: a REQ, its stored events, EOSE, CLOSE.

Rule: a query counts as answered at its EOSE; CLOSED before it is a rejection, silence is an unfinished query.
"""

import asyncio
from functools import partial
from time import perf_counter
from typing import Any

import orjson

from relay.loadtest.link import GONE, Link, resolve
from relay.loadtest.tally import Shape, Tally

ANSWER_SECONDS = 10.0


class Query:
    """A query under way; `done` is True when it was answered with EOSE, and False otherwise."""

    def __init__(self, shape: Shape | None) -> None:
        self.shape = shape
        self.events = 0
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.asked_at = perf_counter()


class Asker:
    """The queries of a worker. An event is counted for the one query of its connection, or for the last of them."""

    def __init__(self, tally: Tally) -> None:
        self.pending = 0
        self._tally = tally
        self._number = 0
        self._last: dict[Link, Query] = {}

    def ask(self, link: Link, query_filter: dict[str, Any], shape: Shape | None = None) -> Query:
        """Send a REQ. Await `done` of what is returned, within a time."""
        self._number += 1
        name = f"q{self._number}"
        query = self._last[link] = Query(shape)
        self.pending += 1
        self._tally.asked += 1
        link.ask(name, [query_filter], partial(self._on_end, link, name, query))
        return query

    def on_event(self, link: Link, data: bytes) -> None:
        """Count a stored event for the last query of its connection."""
        self._tally.found += 1
        if (query := self._last.get(link)) is not None:
            query.events += 1

    def _on_end(self, link: Link, name: str, query: Query, refusal: object) -> None:
        if refusal is not GONE:
            del link.queries[name]
            self.pending -= 1
        if refusal is None:
            self._answered(query)
            link.send(orjson.dumps(["CLOSE", name]))
        elif refusal is not GONE:
            self._tally.rejections.add_answer(refusal)
        resolve(query.done, refusal is None)

    def _answered(self, query: Query) -> None:
        tally, now = self._tally, perf_counter()
        latency = now - query.asked_at
        tally.answered += 1
        tally.last_eose = now
        tally.eose.add(latency, now - tally.started)
        if query.shape is not None:
            query.shape.answered += 1
            query.shape.events += query.events
            query.shape.latency.add(latency)

    async def answer(self, link: Link, query_filter: dict[str, Any], shape: Shape) -> bool:
        """Ask and wait for the end, at most ANSWER_SECONDS; True when it was EOSE."""
        query = self.ask(link, query_filter, shape)
        try:
            return await asyncio.wait_for(asyncio.shield(query.done), ANSWER_SECONDS)
        except TimeoutError:
            return False

    def waits_on(self, links: list[Link]) -> bool:
        """Whether an EOSE can still come: one is due on a connection that is open."""
        return self.pending > 0 and any(link.queries and link.open for link in links)

    def finish(self) -> None:
        """No more waiting: what has no answer yet is unfinished."""
        self._tally.unfinished += self.pending
        self.pending = 0

"""Answers that several queries share: what is said to one of them alone."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from relay.background import BackgroundTasks
from relay.caching.answers import Answers
from relay.changes.ring import Ring
from relay.freshness.arrivals import Arrivals
from relay.protocol.errors import RateLimited
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.storage.read_result import Part
from relay.storage.store import Store
from tests.unit.changes.orders import note

NOTE = note(1)
GREEDY, MODEST = "192.0.2.1", "192.0.2.2"


class Database:
    """Refuses the queries of one owner, when the test says so."""

    def __init__(self) -> None:
        self.owners: list[str] = []
        self.refuses = asyncio.Event()

    async def parts(self, filters: Sequence[Filter], *, owner: str) -> tuple[int, list[Part]]:
        self.owners.append(owner)
        if owner == GREEDY:
            await self.refuses.wait()
            raise RateLimited("too many of your queries wait for the database")
        return 1, [Part([NOTE.json], True)]


async def test_a_refusal_for_the_many_queries_of_one_owner_reaches_no_other() -> None:
    ring, database = Ring(1, 10**6), Database()
    reads: Any = database
    barrier: Any = None  # not asked
    answers = Answers(
        reads,
        Arrivals(lambda: ring),
        lambda: ring,
        barrier,
        BackgroundTasks(),
        shared=None,
        store=lambda: Store("a" * 16, "b" * 16, 1),
        window_bytes=0,
    )
    asked = [parse_filter({"kinds": [1]}, Limits())]
    greedy = asyncio.create_task(answers.fetch(asked, owner=GREEDY))
    modest = asyncio.create_task(answers.fetch(asked, owner=MODEST))
    await asyncio.sleep(0)
    assert (database.owners, answers.flights.joined) == ([GREEDY], 1)

    database.refuses.set()
    with pytest.raises(RateLimited):
        await greedy
    assert (await modest).items == [NOTE.json]
    assert database.owners == [GREEDY, MODEST]

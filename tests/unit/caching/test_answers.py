"""Answers that several queries share: what is said to one of them alone."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

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
GREEDY, MODEST, PATIENT = "192.0.2.1", "192.0.2.2", "192.0.2.3"


class Database:
    """When the test says so, it refuses the queries of one owner and answers those of another."""

    def __init__(self) -> None:
        self.owners: list[str] = []
        self.refuses = asyncio.Event()
        self.answers = asyncio.Event()

    async def parts(self, filters: Sequence[Filter], *, owner: str) -> tuple[int, list[Part]]:
        self.owners.append(owner)
        if owner == GREEDY:
            await self.refuses.wait()
            raise RateLimited("too many of your queries wait for the database")
        if owner == PATIENT:
            await self.answers.wait()
        return 1, [Part([NOTE.json], True)]


def answers_of(database: Database) -> Answers:
    ring, reads = Ring(1, 10**6), cast(Any, database)
    barrier: Any = None  # not asked
    return Answers(
        reads,
        Arrivals(lambda: ring),
        lambda: ring,
        barrier,
        BackgroundTasks(),
        shared=None,
        store=lambda: Store("a" * 16, "b" * 16, 1),
        window_bytes=0,
    )


def by_id(number: int) -> list[Filter]:
    return [parse_filter({"ids": [f"{number:064x}"]}, Limits())]


async def ask(answers: Answers, number: int) -> bool:
    """Ask as a client does; whether memory had the answer."""
    if answers.known(by_id(number)) is not None:
        return True
    await answers.fetch(by_id(number))
    return False


async def test_while_nothing_is_asked_again_few_answers_are_kept_and_what_is_asked_often_soon_is() -> None:
    answers = answers_of(Database())
    for number in range(600):
        assert not await ask(answers, number)
    kept = [number for number in range(600) if answers.known(by_id(number)) is not None]
    assert kept[:100] == list(range(100))
    assert 5 <= len([number for number in kept if number >= 280]) <= 100  # 40 of 320 are expected

    answers = answers_of(Database())
    for number in range(300):
        await ask(answers, number)
    asked = 0
    while not await ask(answers, 1_000):
        asked += 1
        await ask(answers, 2_000 + asked)
        assert asked < 200  # 8 are expected


async def test_what_others_wait_for_is_kept_however_little_is_found() -> None:
    """Each of them would ask PostgreSQL if the log had gone on meanwhile."""
    database = Database()
    answers = answers_of(database)
    for number in range(600):
        await ask(answers, number)
    shared = [by_id(number) for number in range(1_000, 1_020)]
    leading = [asyncio.create_task(answers.fetch(filters, owner=PATIENT)) for filters in shared]
    await asyncio.sleep(0)
    waiting = [
        asyncio.create_task(answers.flights.join(filters[0].key, partial(answers.fetch, filters))) for filters in shared
    ]
    await asyncio.sleep(0)
    database.answers.set()
    await asyncio.gather(*leading, *waiting)
    assert all(answers.known(filters) is not None for filters in shared)


async def test_a_refusal_for_the_many_queries_of_one_owner_reaches_no_other() -> None:
    database = Database()
    answers = answers_of(database)
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

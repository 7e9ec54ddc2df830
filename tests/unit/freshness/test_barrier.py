"""The barrier without a primary: what waits while a look is under way."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from relay.background import BackgroundTasks
from relay.freshness import barrier as module
from relay.freshness.barrier import Barrier, asked_now
from relay.storage.primary import Look, Primary


class SilentPrimary:
    """Notes the looks, and answers when the test says so."""

    def __init__(self) -> None:
        self.looks: list[Callable[[Look | None], None]] = []

    def look(self, _instance: str, then: Callable[[Look | None], None]) -> None:
        self.looks.append(then)


def barrier_of(primary: SilentPrimary, without_primary: Callable[[], int | None] = lambda: None) -> Barrier:
    return Barrier(cast(Primary, primary), lambda: 1, BackgroundTasks(), without_primary=without_primary)


def test_closed_queries_leave_while_the_primary_is_silent() -> None:
    primary, answers = SilentPrimary(), list[Any]()
    barrier = barrier_of(primary)
    for number in range(10_000):

        def then(position: int | None, number: int = number) -> None:
            answers.append((number, position))

        barrier.join(then)
        if number not in (0, 5, 9_999):
            barrier.leave(then)
        if number == 5:
            first = then
    assert len(barrier._waiting) + len(barrier._asked) == 3
    barrier.leave(first)
    while primary.looks:
        primary.looks.pop()(None)
    assert answers == [(0, None), (9_999, None)]


async def test_a_query_that_is_cancelled_leaves_as_one_that_is_closed() -> None:
    primary = SilentPrimary()
    barrier = barrier_of(primary)
    asked = [asked_now(barrier) for _ in range(10)]
    for each in asked[1:]:
        each.cancel()
    await asyncio.sleep(0)  # callbacks of a future come in the next turn
    assert len(barrier._waiting) + len(barrier._asked) == 1
    while primary.looks:
        primary.looks.pop()(Look(9, False, 1))
    assert await asked[0] == 9


def test_while_the_primary_is_gone_a_query_has_the_position_that_is_known_here() -> None:
    primary, answers, known = SilentPrimary(), list[int | None](), list[int | None]([None])
    barrier = barrier_of(primary, lambda: known[0])
    barrier.join(answers.append)
    assert answers == []

    known[0] = 7
    primary.looks.pop()(None)
    barrier.join(answers.append)
    assert (answers, primary.looks) == ([7, 7], [])

    known[0] = None
    barrier.join(answers.append)
    primary.looks.pop()(Look(9, False, 1))
    assert answers == [7, 7, 9]


def test_a_look_at_another_log_is_no_reason_to_answer_from_what_is_known_here() -> None:
    primary, answers = SilentPrimary(), list[int | None]()
    barrier_of(primary).join(answers.append)
    primary.looks.pop()(Look(9, False, 2))
    assert answers == [None]


async def test_a_primary_that_is_taken_to_answer_is_asked_again_until_it_is_known_to_be_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    primary, answers, gone = SilentPrimary(), list[int | None](), False
    barrier = Barrier(
        cast(Primary, primary), lambda: 1, BackgroundTasks(), None, lambda: 7 if gone else None, lambda: not gone
    )

    async def unanswered() -> None:
        primary.looks.pop()(None)
        async with asyncio.timeout(5):
            while not primary.looks and len(answers) < 2:
                await asyncio.sleep(0)

    barrier.join(partial(answers.append))
    await unanswered()
    barrier.join(partial(answers.append))
    await unanswered()
    assert (answers, len(primary.looks)) == ([], 1)
    gone = True
    await unanswered()
    assert answers == [7, 7]

    gone = False
    monkeypatch.setattr(module, "VERDICT_SECONDS", 0.0)
    barrier.join(partial(answers.append))
    await unanswered()
    assert answers == [7, 7, None]


@pytest.mark.parametrize("earlier", [None, Look(9, False, 2)])
async def test_a_look_that_was_not_answered_takes_nothing_of_the_time_of_a_later_one(
    monkeypatch: pytest.MonkeyPatch, earlier: Look | None
) -> None:
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    primary, answers = SilentPrimary(), list[int | None]()
    barrier = Barrier(cast(Primary, primary), lambda: 1, BackgroundTasks(), is_up=lambda: True)

    async def unanswered() -> None:
        primary.looks.pop()(None)
        async with asyncio.timeout(5):
            while not primary.looks and not answers:
                await asyncio.sleep(0)

    if earlier is None:
        barrier._look()  # a renewal, for which no query waits
    else:
        barrier.join(lambda _: None)
        await unanswered()
    primary.looks.pop()(earlier)
    now[0] += 10 * module.VERDICT_SECONDS
    barrier.join(answers.append)
    await unanswered()
    assert (answers, len(primary.looks)) == ([], 1)

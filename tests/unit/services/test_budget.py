"""The bound on pieces of large answers: in order, given back, and no waiting caller is lost."""

import asyncio

import pytest

from relay.services.session.budget import PieceBudget


async def test_those_that_wait_are_served_in_their_order() -> None:
    budget = PieceBudget(10)
    await budget.take(8)
    served: list[str] = []

    async def take(name: str, size: int) -> None:
        await budget.take(size)
        served.append(name)

    waiting = [asyncio.ensure_future(take("large", 9)), asyncio.ensure_future(take("small", 1))]
    await asyncio.sleep(0)
    assert (served, budget.waits) == ([], 2)
    budget.give(8)
    await asyncio.gather(*waiting)
    assert (served, budget.held_bytes) == (["large", "small"], 10)


async def test_a_piece_beyond_the_bound_is_let_through_alone() -> None:
    budget = PieceBudget(10)
    await budget.take(50)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(budget.take(1), 0.01)
    budget.give(50)
    assert budget.held_bytes == 0


async def test_a_caller_that_is_cancelled_lets_the_next_one_pass() -> None:
    budget = PieceBudget(10)
    await budget.take(5)
    first, second = asyncio.ensure_future(budget.take(9)), asyncio.ensure_future(budget.take(5))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert budget.held_bytes == 10


async def test_a_caller_that_is_cancelled_when_its_turn_has_come_gives_back() -> None:
    budget = PieceBudget(10)
    await budget.take(10)
    waiting = asyncio.ensure_future(budget.take(10))
    await asyncio.sleep(0)
    budget.give(10)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert budget.held_bytes == 0


async def test_a_caller_that_is_cancelled_just_before_its_turn_comes_is_passed_over() -> None:
    budget = PieceBudget(10)
    await budget.take(10)
    waiting = asyncio.ensure_future(budget.take(10))
    await asyncio.sleep(0)
    waiting.cancel()
    budget.give(10)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert budget.held_bytes == 0

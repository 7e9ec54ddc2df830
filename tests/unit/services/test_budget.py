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


async def test_an_owner_that_holds_its_share_keeps_no_other_waiting() -> None:
    budget = PieceBudget(40)
    for _ in range(2):
        await budget.take(5, "slow")
    more = [asyncio.ensure_future(budget.take(5, "slow")) for _ in range(100)]
    await asyncio.sleep(0)
    await asyncio.wait_for(budget.take(10, "other"), 1.0)
    assert (budget.held_bytes, sum(each.done() for each in more)) == (20, 0)
    budget.give(5, "slow")
    await more[0]
    assert (budget.held_bytes, sum(each.done() for each in more)) == (20, 1)
    for each in more:
        each.cancel()
    await asyncio.gather(*more, return_exceptions=True)
    for owner, size in (("slow", 5), ("slow", 5), ("other", 10)):
        budget.give(size, owner)
    assert (budget.held_bytes, budget._held, budget._waiting) == (0, {}, {})


async def test_owners_that_wait_are_served_in_turn() -> None:
    budget = PieceBudget(8)
    await budget.take(8, "first")
    served: list[str] = []

    async def take(owner: str) -> None:
        await budget.take(1, owner)
        served.append(owner)

    waiting = [asyncio.ensure_future(take(owner)) for owner in ("many", "many", "many", "few")]
    await asyncio.sleep(0)
    budget.give(8, "first")
    await asyncio.wait(waiting, timeout=0.01)
    assert served == ["many", "few", "many"]
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_piece_beyond_the_share_of_its_owner_is_let_through_alone() -> None:
    budget = PieceBudget(40)
    await asyncio.wait_for(budget.take(30, "one"), 1.0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(budget.take(1, "one"), 0.01)
    assert (budget.held_bytes, budget._waiting) == (30, {})

"""The memory that requests of peers may take at a time."""

from contextlib import ExitStack

import pytest

from replication.receive.budget import Budget, Full


def test_a_peer_with_many_slow_bodies_leaves_room_for_the_others() -> None:
    budget = Budget(100)
    with ExitStack() as held:
        for _ in range(15):
            held.enter_context(budget.held("eu", 5))
        with pytest.raises(Full):
            held.enter_context(budget.held("eu", 5))
        with budget.held("us", 20):
            assert budget.free == 5
    assert budget.free == 100


def test_what_is_larger_than_all_is_taken_alone() -> None:
    budget = Budget(100)
    with budget.held("eu", 200), pytest.raises(Full), budget.held("us", 1):
        pass
    assert budget.free == 100

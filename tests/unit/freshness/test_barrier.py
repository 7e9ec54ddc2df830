"""The barrier without a primary: what waits while a look is under way."""

from collections.abc import Callable
from typing import Any, cast

from relay.background import BackgroundTasks
from relay.freshness.barrier import Barrier
from relay.storage.primary import Look, Primary


class SilentPrimary:
    """Notes the looks, and answers when the test says so."""

    def __init__(self) -> None:
        self.looks: list[Callable[[Look | None], None]] = []

    def look(self, _instance: str, then: Callable[[Look | None], None]) -> None:
        self.looks.append(then)


def barrier_of(primary: SilentPrimary) -> Barrier:
    return Barrier(cast(Primary, primary), lambda: 1, BackgroundTasks())


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

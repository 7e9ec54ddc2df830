"""The events of a connection that are not answered yet."""

import random
import tracemalloc
from collections.abc import Callable, Sequence

import pytest

from relay.services.session.pending import Pending

LIMIT = 4


class Reading:
    """A wire that is only paused and resumed."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def pause_reading(self) -> None:
        self.log.append("pause")

    def resume_reading(self) -> None:
        self.log.append("resume")

    def send_frames(self, frames: Sequence[bytes]) -> None: ...
    def buffered_bytes(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None: ...
    def cut(self) -> None: ...


@pytest.fixture
def wire() -> Reading:
    return Reading()


@pytest.fixture
def pending(wire: Reading) -> Pending:
    return Pending(wire, LIMIT)


@pytest.fixture
def called() -> list[str]:
    return []


def appending(called: list[str], name: str) -> Callable[[], None]:
    return lambda: called.append(name)


def test_without_pending_events_the_callback_is_called_at_once(pending: Pending, called: list[str]) -> None:
    pending.when_answered(appending(called, "query"))
    assert called == ["query"]


def test_01_e22_a_query_waits_for_all_events_before_it_answered_in_any_order(
    pending: Pending, called: list[str]
) -> None:
    first, second = pending.add(), pending.add()
    pending.when_answered(appending(called, "query"))
    pending.answered(second)
    assert called == []
    pending.answered(first)
    assert called == ["query"]


def test_a_query_does_not_wait_for_events_after_it(pending: Pending, called: list[str]) -> None:
    before = pending.add()
    pending.when_answered(appending(called, "query"))
    pending.add()
    pending.answered(before)
    assert called == ["query"]


def test_a_forgotten_callback_is_not_called(pending: Pending, called: list[str]) -> None:
    number = pending.add()
    forgotten = appending(called, "forgotten")
    pending.when_answered(forgotten)
    pending.when_answered(appending(called, "query"))
    pending.forget(forgotten)
    pending.answered(number)
    assert called == ["query"]


def test_reading_pauses_at_the_limit_and_resumes_at_half_of_it(pending: Pending, wire: Reading) -> None:
    numbers = [pending.add() for _ in range(LIMIT)]
    assert wire.log == ["pause"]
    pending.add()
    pending.answered(numbers[3])
    pending.answered(numbers[1])
    assert wire.log == ["pause"]
    pending.answered(numbers[2])
    assert wire.log == ["pause", "resume"]


def test_a_callback_registered_by_a_callback_is_called(pending: Pending, called: list[str]) -> None:
    def ask() -> None:
        pending.when_answered(appending(called, "again"))

    number = pending.add()
    pending.when_answered(ask)
    pending.answered(number)
    assert called == ["again"]


def test_replaced_queries_leave_no_callbacks(pending: Pending) -> None:
    for _ in range(3):
        pending.add()
    for number in range(10_000):
        query = appending([], str(number))
        pending.when_answered(query)
        pending.forget(query)
    assert len(pending._waiting) == 0


@pytest.mark.parametrize("seed", range(20))
def test_it_agrees_with_a_set_of_what_came_before(wire: Reading, seed: int) -> None:
    """Oracle: each query keeps the set of all events before it."""
    chance = random.Random(seed)
    pending = Pending(wire, LIMIT)
    open_events: set[int] = set()
    waiting: dict[str, set[int]] = {}
    called: list[str] = []
    for step in range(300):
        action = chance.random()
        if action < 0.4:
            open_events.add(pending.add())
        elif action < 0.6:
            name = f"query {step}"
            waiting[name] = set(open_events)
            pending.when_answered(appending(called, name))
        elif open_events:
            number = chance.choice(sorted(open_events))
            open_events.remove(number)
            pending.answered(number)
            for events in waiting.values():
                events.discard(number)
        assert called == [name for name, events in waiting.items() if not events]
        assert len(pending) == len(open_events)
        assert (wire.log[-1:] == ["pause"]) >= (len(open_events) >= LIMIT)


def test_replaced_queries_behind_many_events_leave_nothing_behind(pending: Pending) -> None:
    """Each query that waits costs one number, however many events are pending, and nothing once it is replaced."""
    for _ in range(10_000):
        pending.add()
    tracemalloc.start()
    try:
        for number in range(1_000):
            then = appending([], str(number))
            pending.when_answered(then)
            pending.forget(then)
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()

"""The events of a connection that are not answered yet."""

import random
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
def told() -> list[str]:
    return []


def telling(told: list[str], name: str) -> Callable[[], None]:
    return lambda: told.append(name)


def test_nothing_pending_answers_at_once(pending: Pending, told: list[str]) -> None:
    pending.when_answered(telling(told, "query"))
    assert told == ["query"]


def test_01_e22_a_query_waits_for_every_event_before_it_in_whatever_order_they_are_answered(
    pending: Pending, told: list[str]
) -> None:
    first, second = pending.add(), pending.add()
    pending.when_answered(telling(told, "query"))
    pending.answered(second)
    assert told == []
    pending.answered(first)
    assert told == ["query"]


def test_a_query_does_not_wait_for_events_after_it(pending: Pending, told: list[str]) -> None:
    before = pending.add()
    pending.when_answered(telling(told, "query"))
    pending.add()
    pending.answered(before)
    assert told == ["query"]


def test_who_is_forgotten_is_not_told(pending: Pending, told: list[str]) -> None:
    number = pending.add()
    forgotten = telling(told, "forgotten")
    pending.when_answered(forgotten)
    pending.when_answered(telling(told, "query"))
    pending.forget(forgotten)
    pending.answered(number)
    assert told == ["query"]


def test_reading_pauses_at_the_limit_and_resumes_at_half_of_it(pending: Pending, wire: Reading) -> None:
    numbers = [pending.add() for _ in range(LIMIT)]
    assert wire.log == ["pause"]
    pending.add()
    pending.answered(numbers[3])
    pending.answered(numbers[1])
    assert wire.log == ["pause"]
    pending.answered(numbers[2])
    assert wire.log == ["pause", "resume"]


def test_who_asks_while_being_told_is_told_as_well(pending: Pending, told: list[str]) -> None:
    number = pending.add()

    def ask_again() -> None:
        pending.when_answered(telling(told, "again"))

    pending.when_answered(ask_again)
    pending.answered(number)
    assert told == ["again"]


def test_queries_replaced_again_and_again_leave_nothing_behind(pending: Pending) -> None:
    for _ in range(3):
        pending.add()
    for number in range(10_000):
        query = telling([], str(number))
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
    told: list[str] = []
    for step in range(300):
        action = chance.random()
        if action < 0.4:
            open_events.add(pending.add())
        elif action < 0.6:
            name = f"query {step}"
            waiting[name] = set(open_events)
            pending.when_answered(telling(told, name))
        elif open_events:
            number = chance.choice(sorted(open_events))
            open_events.remove(number)
            pending.answered(number)
            for events in waiting.values():
                events.discard(number)
        assert told == [name for name, events in waiting.items() if not events]
        assert len(pending) == len(open_events)
        assert (wire.log[-1:] == ["pause"]) >= (len(open_events) >= LIMIT)

"""How the copy of a partition takes its place. Without a database: a cursor that answers as it is told."""

from collections.abc import Callable
from typing import Any

import pytest

from relay.storage.partitions import purge
from relay.storage.partitions.steps import Busy


class Cursor:
    """Answers what relay_partition_catch_up, the look at retention and relay_partition_swap return."""

    def __init__(self, touched: int | None = 0, *, is_hidden: bool = True) -> None:
        self.ran: list[str] = []
        self._answers = {"catch_up": touched, "relay_retention": is_hidden, "swap": True, "LOCK": None}

    def execute(self, statement: str, _parameters: object = None) -> None:
        self.ran.append(next(name for name in self._answers if name in statement))

    def fetchone(self) -> tuple[Any]:
        return (self._answers[self.ran[-1]],)


def test_a_copy_with_nothing_left_to_apply_takes_the_place_of_its_partition() -> None:
    cursor = Cursor()
    assert purge._swapped("past", cursor) is True
    assert cursor.ran == ["LOCK", "catch_up", "relay_retention", "swap"]


def test_a_transaction_that_has_changed_a_copy_does_not_put_it_in_place() -> None:
    cursor = Cursor(touched=1)
    assert purge._swapped("past", cursor) is None
    assert "swap" not in cursor.ran


@pytest.mark.parametrize("cursor", [Cursor(touched=None), Cursor(is_hidden=False), Cursor(1, is_hidden=False)])
def test_a_copy_that_a_request_to_vanish_or_a_lifted_rule_has_overtaken_is_left(cursor: Cursor) -> None:
    assert purge._swapped("past", cursor) is False
    assert "swap" not in cursor.ran


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What runs while a partition is replaced, with two tries that find the tables in use."""
    found: list[str] = []
    tries = iter([None, None, True])

    def call(statement: str, *_parameters: object) -> int:
        found.append(statement)
        return 1

    def once(_run: Callable[[Any], bool | None]) -> bool | None:
        found.append("lock")
        return next(tries)

    monkeypatch.setattr(purge, "_call", call)
    monkeypatch.setattr(purge, "_copied", lambda _suffix: True)
    monkeypatch.setattr(purge, "once_in_a_short_lock", once)
    monkeypatch.setattr(purge, "RETRY_SECONDS", 0)
    return found


def test_a_copy_catches_up_before_each_try_so_that_little_is_left_for_the_lock(ran: list[str]) -> None:
    assert purge._replaced("past")
    assert ran == ["SELECT relay_partition_catch_up(%s)", "lock"] * 3


def test_a_partition_that_is_in_use_all_the_time_is_left(ran: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "MOST_TRIES", 2)
    with pytest.raises(Busy):
        purge._replaced("past")
    assert ran.count("lock") == 2

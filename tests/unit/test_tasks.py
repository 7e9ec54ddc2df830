"""The jobs of the relay. Without a database: what they call is replaced."""

import time

import pytest
from django.conf import settings
from django.db import OperationalError

from relay import tasks
from relay.protocol.retention import KEEPS_ALL
from relay.storage import purging
from relay.storage.partitions.plan import Partition, State, Step
from relay.storage.partitions.steps import Busy


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that were carried out."""
    found: list[str] = []

    def carry_out(step: Step) -> None:
        found.append(step.name)

    monkeypatch.setattr(tasks, "carry_out", carry_out)
    monkeypatch.setattr(tasks, "is_quick", lambda _step: True)
    return found


@pytest.mark.parametrize(("days", "expected"), [(0, ["release"]), (3, [])])
def test_a_division_that_nothing_goes_on_with_is_given_up_a_day_before_it_refuses_events(
    monkeypatch: pytest.MonkeyPatch, done: list[str], days: int, expected: list[str]
) -> None:
    until = int(time.time()) + settings.RELAY_CREATED_AT_UPPER_LIMIT + days * 86_400
    monkeypatch.setattr(tasks, "read_state", lambda: State(newest=0, until=until, closes=until))
    assert tasks.extend_partitions() == len(expected)
    assert done == expected


def test_a_store_that_is_divided_gets_its_next_periods(monkeypatch: pytest.MonkeyPatch, done: list[str]) -> None:
    parts = [Partition("past", None, 0), Partition("later", 0, None)]
    monkeypatch.setattr(tasks, "read_state", lambda: State(parts))
    assert tasks.extend_partitions() == len(done) > 0
    assert set(done) == {"add"}


def test_the_job_does_not_move_many_events_while_all_clients_wait(
    monkeypatch: pytest.MonkeyPatch, done: list[str]
) -> None:
    monkeypatch.setattr(tasks, "read_state", lambda: State([Partition("past", None, 0), Partition("later", 0, None)]))
    monkeypatch.setattr(tasks, "is_quick", lambda _step: False)
    with pytest.raises(Busy, match=r"manage\.py partitions"):
        tasks.extend_partitions()
    assert done == []


def test_rows_are_removed_though_partitions_cannot_be_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise OperationalError("could not extend file: No space left on device")

    removals: list[str] = []
    monkeypatch.setattr(tasks, "stored_retention", lambda: KEEPS_ALL)
    monkeypatch.setattr(tasks, "removal_time", lambda: 0)
    monkeypatch.setattr(tasks, "purge_partitions", full)
    monkeypatch.setattr(purging, "put_in_force", lambda _retention, _now: 0)
    monkeypatch.setattr(purging, "remove", lambda: removals.append("rows"))
    with pytest.raises(OperationalError, match="No space left"):
        tasks.apply_retention()
    assert removals == ["rows"]

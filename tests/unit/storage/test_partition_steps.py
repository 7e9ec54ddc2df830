"""The steps of a division, and what a run that was killed has left of one. Without a database."""

import pytest

from relay.storage.partitions import steps
from relay.storage.partitions.plan import Period, Step
from relay.storage.partitions.steps import Busy, carry_out

LEFT = [("relay_event", 100, False)]
"""A run was killed between the constraint of the one table and that of the other."""

WHOLE = [("relay_event", 200, True), ("relay_tag", 200, True)]


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that ran in a short lock."""
    found: list[str] = []

    def run(statement: str, _parameters: object = None) -> None:
        found.append(statement)

    monkeypatch.setattr(steps, "in_a_short_lock", run)
    return found


def do(name: str, ends: int = 200) -> None:
    carry_out(Step(name, "", Period(0, ends)))


def test_a_constraint_of_an_earlier_end_goes_since_it_would_refuse_the_events_of_the_time_after_it(
    monkeypatch: pytest.MonkeyPatch, locked: list[str]
) -> None:
    monkeypatch.setattr(steps, "_limits", lambda: LEFT)
    do("constrain")
    added = "ADD CONSTRAINT {0}_before_200 CHECK (created_at < 200) NOT VALID"
    assert locked == [
        f"ALTER TABLE relay_event DROP CONSTRAINT IF EXISTS relay_event_before_100, {added.format('relay_event')}",
        f"ALTER TABLE relay_tag {added.format('relay_tag')}",
    ]


def test_what_is_left_of_a_division_that_is_given_up_refuses_no_event(
    monkeypatch: pytest.MonkeyPatch, locked: list[str]
) -> None:
    monkeypatch.setattr(steps, "_limits", lambda: [*LEFT, *WHOLE])
    do("release")
    assert locked == [
        "ALTER TABLE relay_event DROP CONSTRAINT IF EXISTS relay_event_before_100, "
        "DROP CONSTRAINT IF EXISTS relay_event_before_200",
        "ALTER TABLE relay_tag DROP CONSTRAINT IF EXISTS relay_tag_before_200",
    ]


@pytest.mark.parametrize("limits", [[], LEFT, WHOLE[:1], [("relay_event", 200, True), ("relay_tag", 200, False)]])
def test_a_table_is_not_read_whole_in_the_lock_after_its_division_was_given_up(
    monkeypatch: pytest.MonkeyPatch, locked: list[str], limits: list[tuple[str, int, bool]]
) -> None:
    monkeypatch.setattr(steps, "_limits", lambda: limits)
    with pytest.raises(Busy, match="given up"):
        do("switch")
    assert locked == []


def test_a_division_whose_constraints_are_validated_is_ended(
    monkeypatch: pytest.MonkeyPatch, locked: list[str]
) -> None:
    monkeypatch.setattr(steps, "_limits", lambda: WHOLE)
    do("switch")
    assert locked == ["SELECT relay_partition_switch(%s)"]

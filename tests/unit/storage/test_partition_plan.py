"""Which partitions should exist, and the steps to them."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.storage.partitions.plan import (
    MARGIN_SECONDS,
    RELEASE_SECONDS,
    Grain,
    NoEnd,
    Partition,
    Period,
    State,
    period_of,
    plan,
    release,
)

NOW = int(datetime(2026, 11, 26, tzinfo=UTC).timestamp())
TIMES = st.integers(0, 2**33)
GRAINS = st.sampled_from(list(Grain))


def at(year: int, month: int = 1) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp())


def divided(*ends: int) -> State:
    """A store whose partitions end at these times."""
    bounds = [None, *ends, None]
    return State([Partition(str(n), begins, ends) for n, (begins, ends) in enumerate(pairwise(bounds))])


@pytest.mark.parametrize(
    ("grain", "begins", "ends"),
    [
        (Grain.YEAR, at(2026), at(2027)),
        (Grain.QUARTER, at(2026, 10), at(2027)),
        (Grain.MONTH, at(2026, 11), at(2026, 12)),
    ],
)
def test_a_period_is_a_year_a_quarter_or_a_month_of_the_calendar(grain: Grain, begins: int, ends: int) -> None:
    assert period_of(grain, NOW) == Period(begins, ends)


@given(TIMES, GRAINS)
def test_periods_follow_each_other_and_each_time_lies_in_its_own(seconds: int, grain: Grain) -> None:
    period = period_of(grain, seconds)
    assert period.begins <= seconds < period.ends
    assert period_of(grain, period.ends).begins == period.ends


def test_without_events_the_period_of_now_is_the_first() -> None:
    steps = plan(State(), Grain.YEAR, NOW)
    assert [step.name for step in steps] == ["constrain", "validate", "index", "switch", "add", "add"]
    assert [step.period for step in steps[-2:]] == [Period(at(2026), at(2027)), Period(at(2027), at(2028))]


@given(TIMES, st.integers(0, 2**20), GRAINS)
def test_no_event_comes_after_the_past_while_it_is_made(newest: int, ahead: int, grain: Grain) -> None:
    until = plan(State(newest=newest), grain, NOW, ahead)[0].period.ends
    assert until > max(newest, NOW + ahead + MARGIN_SECONDS)


@pytest.mark.parametrize(("newest", "ahead"), [(2**63 - 1, 900), (NOW, 10**12)])
def test_a_store_whose_events_are_dated_beyond_the_calendar_is_not_divided(newest: int, ahead: int) -> None:
    with pytest.raises(NoEnd):
        plan(State(newest=newest), Grain.YEAR, NOW, ahead)


def test_a_division_that_an_event_came_in_before_begins_anew_with_an_end_after_that_event() -> None:
    steps = plan(State(newest=NOW, until=at(2026)), Grain.YEAR, NOW)
    assert [step.name for step in steps] == ["constrain", "validate", "index", "switch", "add"]
    assert {step.period.ends for step in steps[:4]} == {at(2027)}


def test_a_division_goes_on_where_it_was_though_time_has_passed() -> None:
    begun = State(newest=NOW, until=at(2026), validated=True)
    steps = plan(begun, Grain.YEAR, NOW)
    assert [step.name for step in steps] == ["index", "switch", "add", "add"]
    assert steps[1].period.ends == at(2026)


@pytest.mark.parametrize("until", [None, NOW + 900 + RELEASE_SECONDS])
def test_a_division_that_was_left_is_given_up_before_it_refuses_what_clients_publish(until: int | None) -> None:
    left = State(newest=NOW, until=until, closes=NOW + 900 + RELEASE_SECONDS)
    assert [step.name for step in release(left, NOW, ahead=900)] == ["release"]
    assert release(left, NOW - 1, ahead=900) == []


@given(TIMES, st.integers(0, 2**20), GRAINS)
def test_a_division_that_has_just_begun_is_not_given_up(newest: int, ahead: int, grain: Grain) -> None:
    until = plan(State(newest=newest), grain, NOW, ahead)[0].period.ends
    assert release(State(newest=newest, until=until, closes=until), NOW, ahead) == []


def test_a_store_that_is_divided_or_that_no_division_was_begun_in_has_nothing_to_give_up() -> None:
    assert release(divided(at(2020)), NOW) == release(State(newest=NOW), NOW) == []


@given(TIMES, TIMES, GRAINS)
def test_a_divided_store_has_this_period_and_the_next_in_one_row(last: int, now: int, grain: Grain) -> None:
    begins = period_of(grain, last).ends
    steps = plan(divided(begins), grain, now)
    ends = begins
    for step in steps:
        assert (step.name, step.period.begins) == ("add", ends)
        ends = step.period.ends
    assert ends >= period_of(grain, period_of(grain, now).ends).ends
    assert plan(divided(begins, *[step.period.ends for step in steps]), grain, now) == []


def test_another_grain_goes_on_at_the_end_of_what_is_there() -> None:
    steps = plan(divided(at(2026, 2)), Grain.YEAR, NOW)
    assert [step.period for step in steps] == [Period(at(2026, 2), at(2027)), Period(at(2027), at(2028))]

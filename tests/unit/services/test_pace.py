"""Connections are closed at an even rate, and all of them in time."""

from hypothesis import given
from hypothesis import strategies as st

from relay.services.pace import LEAST_PER_SECOND, Pace

STEP = 0.05


def closes(count: int, seconds: float, step: float = STEP) -> list[int]:
    """How many are closed in each step, until none is left."""
    pace, now, counts = Pace(0.0, seconds), 0.0, []
    while count:
        due = pace.due(now, count)
        counts.append(due)
        count -= due
        now += step
    return counts


@given(st.integers(0, 20_000), st.floats(0.0, 300.0), st.floats(0.01, 2.0))
def test_all_are_closed_in_time_whatever_the_steps(count: int, seconds: float, step: float) -> None:
    counts = closes(count, seconds, step)
    assert sum(counts) == count
    assert (len(counts) - 2) * step <= seconds


@given(st.integers(1, 20_000), st.floats(1.0, 300.0))
def test_no_step_closes_more_than_its_part(count: int, seconds: float) -> None:
    share = max(LEAST_PER_SECOND, count / seconds) * STEP
    assert max(closes(count, seconds)) <= share + 2


def test_few_connections_do_not_take_the_whole_time() -> None:
    assert len(closes(10, 300.0)) * STEP <= 10 / LEAST_PER_SECOND + 2 * STEP


def test_connections_that_come_meanwhile_are_closed_with_the_others() -> None:
    pace = Pace(0.0, 10.0)
    assert pace.due(5.0, 1_000) == 500
    assert pace.due(7.5, 1_500) == 750
    assert pace.due(10.0, 75) == 75

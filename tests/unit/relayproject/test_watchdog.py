"""A process hangs when it was silent for the limit while the supervisor itself ran."""

from hypothesis import given
from hypothesis import strategies as st

from relayproject.runtime.watchdog import PAUSE_SECONDS, Watchdog

LIMIT = 10.0


def looks(watchdog: Watchdog, start: float, end: float) -> bool:
    """Whether one of the looks from `start` to `end` finds the process overdue."""
    now = start
    while now <= end:
        if watchdog.is_overdue(now):
            return True
        now += watchdog.interval_seconds
    return False


def test_a_silent_process_is_overdue_after_the_limit() -> None:
    watchdog = Watchdog(LIMIT, 60.0, started=0.0)
    watchdog.beat(1.0)

    assert not looks(watchdog, 1.0, 11.0)
    assert looks(watchdog, 11.0, 13.0)


def test_a_process_that_starts_has_longer() -> None:
    watchdog = Watchdog(LIMIT, 60.0, started=0.0)

    assert not looks(watchdog, 0.0, 60.0)
    assert looks(watchdog, 60.0, 62.0)


def test_a_pause_of_the_supervisor_gives_a_fresh_period() -> None:
    watchdog = Watchdog(LIMIT, 60.0, started=0.0)
    watchdog.beat(1.0)
    looks(watchdog, 1.0, 2.0)

    assert not looks(watchdog, 300.0, 310.0)
    assert looks(watchdog, 310.0, 312.0)


@given(st.lists(st.tuples(st.floats(0.0, 1.0 + PAUSE_SECONDS), st.booleans()), max_size=60))
def test_without_pauses_it_is_what_the_silence_says(steps: list[tuple[float, bool]]) -> None:
    watchdog = Watchdog(LIMIT, LIMIT, started=0.0)
    now = last = 0.0
    for step, beats in steps:
        now += step
        if beats:
            watchdog.beat(now)
            last = now
        assert watchdog.is_overdue(now) == (now > last + LIMIT)

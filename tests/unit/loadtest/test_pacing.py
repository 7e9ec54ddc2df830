"""Rates and waits: what is due is done, and the stop is heard."""

import asyncio
from time import perf_counter

from hypothesis import given
from hypothesis import strategies as st

from relay.loadtest.pacing import at_rate, due, until


@given(st.floats(0.1, 20_000), st.floats(0, 3_600))
def test_the_number_due_is_the_rate_times_the_time_and_the_first_one(rate: float, elapsed: float) -> None:
    assert rate * elapsed <= due(elapsed, rate) <= rate * elapsed + 1


def test_nothing_is_due_at_a_rate_of_nothing() -> None:
    assert due(10.0, 0.0) == 0


async def test_a_rate_is_kept_whatever_an_act_takes() -> None:
    done: list[float] = []

    await at_rate(100.0, 0.3, 1_000, lambda: done.append(perf_counter()), asyncio.Event())

    assert len(done) == 30


async def test_no_more_than_the_most_is_done() -> None:
    done: list[int] = []

    await at_rate(10_000.0, 5.0, 7, lambda: done.append(1), asyncio.Event())

    assert len(done) == 7


async def test_the_stop_ends_a_rate() -> None:
    stop = asyncio.Event()
    done: list[int] = []

    def act() -> None:
        done.append(1)
        stop.set()

    await at_rate(1.0, 60.0, 100, act, stop)

    assert done == [1]


async def test_a_wait_ends_with_its_condition_its_time_or_the_stop() -> None:
    stop, stopped = asyncio.Event(), asyncio.Event()
    stopped.set()

    assert await until(lambda: True, 60.0, stop)
    assert not await until(lambda: False, 0.01, stop)
    assert not await until(lambda: False, 60.0, stopped)

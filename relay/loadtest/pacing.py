"""Waiting and keeping a rate, with a stop in reach at any time.

Rule: nothing here waits without an end: every wait has a limit, and the stop of the run ends it.
"""

import asyncio
from collections.abc import Callable
from math import ceil
from time import perf_counter

POLL_SECONDS = 0.005


def due(elapsed: float, rate: float) -> int:
    """How many of `rate` a second should have happened after `elapsed` seconds; the first one at once."""
    return int(elapsed * rate) + 1 if rate > 0 else 0


async def until(condition: Callable[[], bool], seconds: float, stop: asyncio.Event) -> bool:
    """Wait until `condition` holds, at most `seconds`, and not after `stop`; returns whether it holds."""
    limit = perf_counter() + seconds
    while not condition():
        if stop.is_set() or perf_counter() >= limit:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


async def at_rate(rate: float, seconds: float, most: int, act: Callable[[], object], stop: asyncio.Event) -> float:
    """Call `act` `rate` times a second for `seconds`, at most `most` times; returns the longest delay in seconds.

    What is late is caught up with, so a slow relay or generator does not lower the load.
    """
    began, number, behind = perf_counter(), 0, 0.0
    most = min(most, ceil(rate * seconds))
    while number < most and not stop.is_set():
        elapsed = perf_counter() - began
        behind = max(behind, elapsed - number / rate)
        for _ in range(min(due(elapsed, rate), most) - number):
            act()
            number += 1
        await asyncio.sleep(min(max(0.0, number / rate - (perf_counter() - began)), 0.1))
    return behind

"""What an answer costs from each layer, in one process without a socket.

Each is timed by turns, so that a neighbour of the machine meets all alike. Times are medians in microseconds: `wall`,
and `cpu` of this process, which is what limits a worker.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from tests.benchmarks.crowd import Crowd, questions

Work = Callable[[], Awaitable[object]]
Costs = dict[str, dict[str, float]]


async def layers(crowd: Crowd, each: int) -> dict[str, Costs]:
    """By shape: `l1` (and with the barrier's word), `l2`, `l3` of `each` filters."""
    from relay.caching.page import Page
    from relay.protocol.filters import Filter, parse_filter
    from relay.protocol.limits import Limits

    relay, answers = await _relay()
    found: dict[str, Costs] = {}
    try:
        for shape, make in questions(crowd, 21).items():
            times: dict[str, list[tuple[float, float]]] = {"l1": [], "l1 and barrier": [], "l2": [], "l3": []}
            for _ in range(each):
                flt: Filter = parse_filter(make(), Limits())
                pages, key = answers.copies.cache_of(flt)
                position, (part,) = await relay.reads.parts([flt])
                pages.keep(Page(key, position, part.texts, part.complete), relay.intake.ring)
                if answers.copies.known((flt,)) is None:  # asked for again: written to L2 as well
                    continue  # too large to be kept
                await answers.caught_up()
                work: dict[str, Work] = {
                    "l1": lambda flt=flt: _now(answers.copies.known, (flt,)),  # type: ignore[misc]
                    "l1 and barrier": lambda flt=flt: _behind_the_barrier(answers, flt),  # type: ignore[misc]
                    "l2": lambda pages=pages, key=key: _from_l2(pages, key),  # type: ignore[misc]
                    "l3": lambda flt=flt: relay.reads.parts([flt]),  # type: ignore[misc]
                }
                for name, one in work.items():
                    times[name].append(await _timed(one))
            found[shape] = {name: _medians(each_time) for name, each_time in times.items()}
    finally:
        await relay.stop()
    return found


async def _relay() -> tuple[Any, Any]:
    """A relay without a window, its database and its shared cache connected."""
    from relay.conf import config
    from relay.services.runtime import Relay

    relay = Relay(replace(config(), cache_layers="l1+l2", window_bytes=0, read_connections=1))
    await relay.start()
    while not (relay.reads.connected and relay.shared is not None and relay.shared.up):
        await asyncio.sleep(0.01)
    return relay, relay.answers


async def _now(find: Callable[[Any], object], filters: Any) -> None:
    assert find(filters) is not None


async def _from_l2(pages: Any, key: Any) -> None:
    assert await pages.load([key]) == 1


async def _behind_the_barrier(answers: Any, flt: Any) -> None:
    assert await answers.caught_up()
    assert answers.copies.known((flt,)) is not None


async def _timed(work: Work) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _medians(times: list[tuple[float, float]]) -> dict[str, float]:
    wall, cpu = zip(*times, strict=True)
    return {"wall": round(statistics.median(wall) * 1e6, 1), "cpu": round(statistics.median(cpu) * 1e6, 1)}

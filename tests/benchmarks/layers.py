"""What an answer costs from each layer, in one process without a socket; and a feed as a sorted set, as is not built.

Each is timed by turns, so that a neighbour of the machine meets all alike. Times are medians in microseconds: `wall`,
and `cpu` of this process, which is what limits a worker.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from tests.benchmarks.crowd import Crowd, questions

ROUNDS = 7
Work = Callable[[], Awaitable[object]]
Costs = dict[str, dict[str, float]]


async def layers(crowd: Crowd, each: int) -> dict[str, Costs]:
    """By shape: `l1` (and with the barrier's word), `l2`, `l3` of `each` filters."""
    from relay.protocol.filters import Filter, parse_filter
    from relay.protocol.limits import Limits

    relay, answers = await _relay()
    found: dict[str, Costs] = {}
    try:
        for shape, make in questions(crowd, 21).items():
            times: dict[str, list[tuple[float, float]]] = {"l1": [], "l1 and barrier": [], "l2": [], "l3": []}
            for _ in range(each):
                flt: Filter = parse_filter(make(), Limits())
                ids = sorted(flt.ids or ())
                await answers.plainly(flt)  # in L1, and written to L2
                for event_id in ids:  # asked for again: written to L2 as well
                    answers.copies.events.find(event_id, relay.intake.ring)
                await answers.caught_up()
                work: dict[str, Work] = {
                    "l1": lambda flt=flt: _now(answers.copies.known, (flt,)),  # type: ignore[misc]
                    "l1 and barrier": lambda flt=flt: _behind_the_barrier(answers, flt),  # type: ignore[misc]
                    "l2": lambda flt=flt, ids=ids: (  # type: ignore[misc]
                        answers.copies.events.load(ids, lambda: relay.intake.ring)
                        if ids
                        else answers.copies.pages.read(flt)
                    ),
                    "l3": lambda flt=flt: relay.reads.parts([flt]),  # type: ignore[misc]
                }
                for name, one in work.items():
                    times[name].append(await _timed(one))
            found[shape] = {name: _medians(each_time) for name, each_time in times.items()}
    finally:
        await relay.stop()
    return found


async def feeds(each: int) -> Costs:
    """The newest 100 of kind 1 from a sorted set and MGET of texts of 600 bytes, from PostgreSQL, from a feed in L1."""
    from relay.caching.feeds import feed_of

    from relay.caching.page import Page
    from relay.protocol.filters import Filter
    from relay.storage.newest import events_below

    relay, _ = await _relay()
    flt = Filter(None, None, frozenset([1]), None, None, 100, False, ())
    base = feed_of(flt)
    assert base is not None
    try:
        shared = relay.shared
        _, newest = await events_below(relay.reads, None, 1_000)
        key = b"benchmark:{feed}:z"
        texts = {f"benchmark:{{feed}}:{event.id}".encode(): event.json[:600].ljust(600) for event in newest}
        for number, (member, text) in enumerate(texts.items()):
            await shared.call(key, b"ZADD", key, len(texts) - number, member)
            await shared.call(key, b"SET", member, text, b"PX", 600_000)
        position, (part,) = await relay.reads.parts([base])
        page = Page(base, position, part.texts, part.complete)

        async def sorted_set() -> None:
            names = await shared.call(key, b"ZREVRANGE", key, 0, 99)
            values = await shared.get_many(names)
            assert len(values) == min(100, len(texts)) and None not in values  # noqa: PT018

        async def from_page() -> None:
            assert page.bring(relay.intake.ring, int(time.time()))
            assert page.answer(flt) is not None

        work: dict[str, Work] = {
            "sorted set": sorted_set,
            "PostgreSQL": lambda: relay.reads.query([flt]),
            "feed in L1": from_page,
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
        for _ in range(ROUNDS * each):
            for name in random.sample(list(work), len(work)):
                times[name].append(await _timed(work[name]))
        return {name: _medians(each_time) for name, each_time in times.items()}
    finally:
        await relay.stop()


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

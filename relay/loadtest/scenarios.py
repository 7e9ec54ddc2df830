"""The five scenarios: what a worker does between the start of the clock and the winding down.

Rule: each ends at the plan's duration, when its work is done, or at the stop, whichever is first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

import orjson

from relay.loadtest.link import Link, open_link
from relay.loadtest.load import Load
from relay.loadtest.pacing import at_rate, until
from relay.loadtest.plan import Scenario
from relay.loadtest.shapes import Filter, Known, filter_shapes
from relay.loadtest.tally import Shape, Tally

PUBLISH_SECONDS = 120.0  # at most, for the events that queries are about
SAMPLE_SECONDS = 10.0
_SAMPLES: tuple[Filter, ...] = ({"limit": 500}, {"kinds": [1], "limit": 500}, {"kinds": [7], "limit": 500})
_MIXED_FILTER: Filter = {"kinds": [1], "limit": 10}


async def mixed(load: Load) -> None:
    """Events and queries at set rates, each on a connection chosen at random."""
    plan, share, tally = load.plan, load.share, load.tally

    def publish() -> None:
        link = _choose(load)
        if link is None or not load.publisher.send(link):
            tally.withheld += 1

    def ask() -> None:
        link = _choose(load)
        if link is not None:
            load.asker.ask(link, _MIXED_FILTER)

    behind = await asyncio.gather(
        at_rate(share.event_rate, plan.duration, share.events, publish, load.stop),
        at_rate(share.query_rate, plan.duration, 2**31, ask, load.stop),
    )
    tally.behind = max(behind)
    await until(lambda: load.elapsed >= plan.duration or not load.has_links, plan.duration, load.stop)


def _choose(load: Load) -> Link | None:
    """A connection that is open and takes data."""
    for _ in range(8):
        link = load.rng.choice(load.links) if load.links else None
        if link is not None and link.open and not link.blocked:
            return link
    return next((link for link in load.links if link.open and not link.blocked), None)


async def publish(load: Load) -> None:
    """Events as fast as they are acknowledged; in fanout every subscriber matches every event."""
    await load.publish_all(load.plan.duration)


async def idle(load: Load) -> None:
    """Nothing for the whole duration, then one event that all subscribers wait for."""
    await until(lambda: False, load.plan.duration, load.stop)
    if not load.stop.is_set():
        await load.publish_all(load.plan.duration)


async def query(load: Load) -> None:
    """Each shape for its part of the time, one query at a time on every connection."""
    known = await _known(load)
    shapes = filter_shapes(known, load.rng)
    if not shapes:
        load.tally.problem = "the relay holds no events to ask for"
        return
    part = load.plan.duration / len(shapes)
    for number, (name, make) in enumerate(shapes.items(), 1):
        shape = load.tally.shapes[name] = Shape()
        began = perf_counter()
        end = load.tally.started + number * part
        asking = [asyncio.ensure_future(_ask_on(load, link, make, shape, end)) for link in load.links]
        await until(lambda asking=asking: all(task.done() for task in asking), 2 * part + 1, load.stop)  # type: ignore[misc]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        shape.seconds = perf_counter() - began
        if load.stop.is_set():
            break


async def _ask_on(load: Load, link: Link, make: Callable[[], Filter], shape: Shape, end: float) -> None:
    while link.open and perf_counter() < end and not load.stop.is_set():
        if not await load.asker.answer(link, make(), shape):
            await asyncio.sleep(0.05)  # a relay that refuses is not asked at full speed


async def _known(load: Load) -> Known:
    return await sample(load.plan.url) if load.plan.existing else Known.of_pool(load.pool)


async def publish_for_queries(load: Load) -> None:
    """Before the clock: give the relay what will be asked for."""
    await load.publish_all(PUBLISH_SECONDS)
    load.publisher.finish()
    for name in ("sent", "accepted", "unanswered"):
        setattr(load.tally, name, getattr(load.before, name))
    load.tally.refusals = load.before.refusals


async def sample(url: str) -> Known:
    """Some of the events that the relay holds, by a few plain queries within SAMPLE_SECONDS."""
    messages: list[bytes] = []
    link = await open_link(url, Tally(), lambda _link, data: messages.append(data))
    if link is not None:
        asked = [asyncio.ensure_future(link.answered(f"s{n}", wanted)) for n, wanted in enumerate(_SAMPLES)]
        await asyncio.wait(asked, timeout=SAMPLE_SECONDS)
        link.close()
        for each in asked:
            each.cancel()
    return Known.of_json(_event_of(message) for message in messages)


def _event_of(message: bytes) -> object:
    try:
        return orjson.loads(message)[2]
    except (orjson.JSONDecodeError, LookupError):
        return None


SCENARIOS: dict[Scenario, Callable[[Load], Awaitable[None]]] = {
    Scenario.MIXED: mixed,
    Scenario.INGEST: publish,
    Scenario.QUERY: query,
    Scenario.FANOUT: publish,
    Scenario.IDLE: idle,
}

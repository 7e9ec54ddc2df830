"""The parts of the benchmark; each leaves all regions with everything, and every wire as it was."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from replication.answers import MAX_EVENTS
from tests.acceptance.client import Client
from tests.benchmarks.regions.measured import Joined, Latency, Priority, Sizes, Split, Throughput, Way
from tests.benchmarks.regions.three import AP, EU, NAMES, PAIRS, PORT, US, Region, Three
from tests.benchmarks.regions.traffic import KINDS, Event, Publisher, Watcher, make, watching

ARRIVE_SECONDS = 120.0
TAIL_SECONDS = 3.0
URGENT = 50
PROBE_RATE = 10.0
SAMPLE_SECONDS = 0.25
LOSSES = (0.0, 0.01)
DRAIN_SECONDS = 600.0


async def _load(region: Region, folder: Path, events: Sequence[Event]) -> float:
    """Import events; returns the seconds that it took, the start of the command included."""
    path = folder / "events.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    began = time.monotonic()
    await region.run("import", str(path), "--quiet")
    return time.monotonic() - began


def _ids(events: Sequence[Event]) -> set[str]:
    return {event["id"] for event in events}


async def latency(three: Three, sizes: Sizes, _folder: Path) -> list[Latency]:
    """Publish in all regions and lanes at once, and see what comes to all others."""
    number = round(sizes.seconds * sizes.rate)
    publishers = {
        (region.place, lane): Publisher(region, make(lane, number, f"latency {region.name}", sizes.rate), sizes.rate)
        for region in three.regions
        for lane in KINDS
    }
    async with AsyncExitStack() as stack:
        watchers = [await stack.enter_async_context(watching(region)) for region in three.regions]
        await asyncio.gather(*(publisher.run() for publisher in publishers.values()))
        kept = {key: {*publisher.acknowledged} for key, publisher in publishers.items() if key[1] != "ephemeral"}
        for (source, _), ids in kept.items():
            for target in {EU, US, AP} - {source}:
                await watchers[target].has(ids, ARRIVE_SECONDS)
        await asyncio.sleep(1.0)  # for ephemeral events, which no sender sends again
    found = []
    for source, target in PAIRS:
        for lane in KINDS:
            sent, came = publishers[source, lane].acknowledged, watchers[target].arrivals
            seconds = sorted(came[event_id] - at for event_id, at in sent.items() if event_id in came)
            found.append(Latency(Way(source, target), lane, len(sent), tuple(seconds)))
    return found


async def throughput(three: Three, sizes: Sizes, folder: Path) -> list[Throughput]:
    """Send a backlog of notes to one region at a time, with and without losses."""
    found = []
    for loss in LOSSES:
        for source in range(sizes.sources):
            events = make("normal", sizes.notes, f"throughput {source} {loss}")
            await three.regions[source].send_to()
            await _load(three.regions[source], folder, events)
            for target in range(source + 1, 3):
                three.wires.set(source, target, loss)
                per_second = await _sent(three, Way(source, target), _ids(events))
                three.wires.set(source, target)
                found.append(Throughput(Way(source, target), loss, len(events), per_second))
            await three.settle(DRAIN_SECONDS)
    return found


async def _sent(three: Three, way: Way, ids: set[str]) -> float:
    async with watching(three.regions[way.target]) as watcher:
        await three.regions[way.source].send_to(NAMES[way.target])
        if not await watcher.has(ids, DRAIN_SECONDS):
            raise TimeoutError(f"{way.name}: {len(ids - watcher.arrivals.keys())} of {len(ids)} events did not come")
    times = sorted(watcher.arrivals[event_id] for event_id in ids)
    return (len(ids) - MAX_EVENTS) / (times[-1] - times[MAX_EVENTS - 1])


async def split(three: Three, sizes: Sizes, _folder: Path) -> list[Split]:
    """Cut a wire while both ends of it publish, heal it, and wait until each has everything of the other."""
    repairs = three.repairs()
    seconds = 2 * TAIL_SECONDS + sizes.cut_seconds
    ends = (three.regions[EU], three.regions[US])
    publishers = [_mixed(region, sizes.rate, seconds) for region in ends]
    timeline: list[tuple[float, float]] = []
    async with watching(ends[0]) as here, watching(ends[1]) as there:
        publishing = asyncio.gather(*(publisher.run(seconds + ARRIVE_SECONDS) for publisher in publishers))
        sampling = asyncio.create_task(_sample(publishers, (there, here), timeline))
        await asyncio.sleep(TAIL_SECONDS)
        three.wires.set(EU, US, 1.0)
        cut = time.monotonic()
        await asyncio.sleep(sizes.cut_seconds)
        due = [{*publisher.acknowledged} for publisher in publishers]
        waiting = sum(len(ids - seen.arrivals.keys()) for ids, seen in zip(due, (there, here), strict=True))
        three.wires.set(EU, US)
        healed = time.monotonic()
        for ids, seen in zip(due, (there, here), strict=True):
            await seen.has(ids, ARRIVE_SECONDS)
        converged = time.monotonic() - healed
        await publishing
        for publisher, seen in zip(publishers, (there, here), strict=True):
            await seen.has({*publisher.acknowledged}, ARRIVE_SECONDS)
        await asyncio.sleep(2 * SAMPLE_SECONDS)
        sampling.cancel()
    await three.settle()
    sent = {event_id for publisher in publishers for event_id in publisher.acknowledged}
    missing = sum(len(sent - region.stored()) for region in three.regions)
    line = tuple((at - cut, number) for at, number in timeline)
    seconds_cut = healed - cut
    return [
        Split(Way(EU, US), seconds_cut, len(sent), waiting, converged, missing, three.repairs() - repairs, line)
    ]  # fmt: skip


def _mixed(region: Region, rate: float, seconds: float) -> Publisher:
    """All lanes at `rate` each, in turn."""
    lanes = [make(lane, round(rate * seconds), f"split {region.name}") for lane in ("urgent", "normal", "low")]
    return Publisher(region, [event for events in zip(*lanes, strict=True) for event in events], 3 * rate)


async def _sample(
    publishers: Sequence[Publisher], others: Sequence[Watcher], timeline: list[tuple[float, float]]
) -> None:
    while True:
        counts = [
            len(publisher.acknowledged.keys() - watcher.arrivals.keys())
            for publisher, watcher in zip(publishers, others, strict=True)
        ]
        timeline.append((time.monotonic(), sum(counts)))
        await asyncio.sleep(SAMPLE_SECONDS)


async def priority(three: Three, sizes: Sizes, folder: Path) -> list[Priority]:
    """Leave a region without reactions, then without urgent events that are newer, and send all."""
    way, source = Way(EU, US), three.regions[EU]
    low, urgent = make("low", sizes.backlog, "priority"), make("urgent", URGENT, "priority")
    await source.send_to()
    await _load(source, folder, low)
    await Publisher(source, urgent, 1_000.0).run()
    async with watching(three.regions[US]) as watcher:
        await source.send_to(NAMES[US])
        await watcher.has(_ids(low) | _ids(urgent), DRAIN_SECONDS)
    came = watcher.arrivals
    lows, urgents = ([came[i] for i in _ids(events) if i in came] for events in (low, urgent))
    first = min([*lows, *urgents])
    before = sum(at < max(urgents) for at in lows)
    missing = len(low) + len(urgent) - len(lows) - len(urgents)
    await three.settle(DRAIN_SECONDS)
    return [
        Priority(way, len(low), len(urgent), max(urgents) - first, max(lows) - first, before, missing)
    ]  # fmt: skip


async def join(three: Three, sizes: Sizes, folder: Path) -> list[Joined]:
    """Fill a region by `manage.py reconcile` while it answers queries."""
    events = make("normal", sizes.joined, "join")
    source, joining = three.regions[EU], three.regions[AP]
    await source.send_to()
    imported = await _load(source, folder, events)
    asked: list[float] = []
    asking = asyncio.create_task(_ask(joining, asked))
    began = time.monotonic()
    await joining.run("reconcile", source.name, "--quiet")
    filled = time.monotonic() - began
    asking.cancel()
    missing = len(_ids(events) - joining.stored())
    await three.settle(DRAIN_SECONDS)
    number = len(events)
    return [Joined(Way(EU, AP), number, number / imported, number / filled, tuple(sorted(asked)), missing)]


async def _ask(region: Region, seconds: list[float]) -> None:
    """The newest notes, again and again."""
    async with Client(f"ws://127.0.0.1:{PORT}", sock=region.dial()) as client:
        while True:
            began = time.monotonic()
            await client.query({"kinds": [1], "limit": 20})
            seconds.append(time.monotonic() - began)
            await asyncio.sleep(1 / PROBE_RATE)


PARTS: dict[str, Callable[[Three, Sizes, Path], Awaitable[Sequence[Any]]]] = {
    "join": join,
    "latency": latency,
    "throughput": throughput,
    "split": split,
    "priority": priority,
}
"""In this order: a region that joins has the least before."""

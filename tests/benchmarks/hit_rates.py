"""`python -m tests.benchmarks.hit_rates`: what the caches are worth under a load as in life. Takes about nine minutes.

A store of 200,000 events; authors, threads and readers by Zipf's law; 2 % of what is sent are events. With relays
that it starts itself, two workers each, with other caches: hit rates by cache and by shape, queries a second by shape,
what an answer costs from each layer, the memory of the workers before and after a million distinct keys, and seven
interleaved pairs of publishing with caches off and on. `--small` shows in a minute or three that it works; its figures
say nothing. Client, relay and database share the machine: compare within a run.
"""

import argparse
import asyncio
import json
import logging
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from tests.acceptance.relay_process import RelayProcess
from tests.benchmarks import hit_rates_text
from tests.benchmarks.asker import Asked, ask, publish
from tests.benchmarks.crowd import MIX, Crowd, Maker, questions
from tests.benchmarks.distinct import ask_distinct
from tests.benchmarks.filling import fill, servers
from tests.benchmarks.layers import layers
from tests.benchmarks.published import figures_of, until_filled

Json = dict[str, Any]
WINDOW = str(64 * 2**20)
VARIANTS = {
    "no cache": {"RELAY_CACHE_LAYERS": "none", "RELAY_WINDOW_BYTES": "0"},
    "L1, no window": {"RELAY_CACHE_LAYERS": "l1", "RELAY_WINDOW_BYTES": "0"},
    "L1": {"RELAY_CACHE_LAYERS": "l1", "RELAY_WINDOW_BYTES": WINDOW},
    "L1+L2, no window": {"RELAY_CACHE_LAYERS": "l1+l2", "RELAY_WINDOW_BYTES": "0"},
    "L1+L2": {"RELAY_CACHE_LAYERS": "l1+l2", "RELAY_WINDOW_BYTES": WINDOW},
}
CONNECTIONS = 8
WRITE_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. `writes`: signed events for the mixed load of one variant."""

    events: int
    warm_seconds: float
    mixed_seconds: float
    shape_seconds: float
    writes: int
    distinct: int
    pairs: int
    pair_events: int
    each: int


FULL = Size(200_000, 6, 12, 1.5, 3_000, 1_000_000, 7, 2_000, 60)
SMALL = Size(4_000, 0.5, 1, 0.3, 100, 4_000, 2, 200, 5)


class Progress:
    """Says on standard error what is going on and since when."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def __call__(self, what: str) -> None:
        print(f"{time.monotonic() - self._begin:5.0f} s  {what}", file=sys.stderr, flush=True)


async def snapshot(relay: RelayProcess) -> Any:
    """What all workers say, of everything until now."""
    return await asyncio.to_thread(figures_of, relay)


def relay_on(folder: Path, settings: dict[str, str]) -> RelayProcess:
    return RelayProcess(folder, workers=2, roles="web,migrate", settings=settings)


async def variant(relay: RelayProcess, crowd: Crowd, writes: Sequence[bytes], size: Size) -> Json:
    """Hit rates and queries a second of one relay."""
    await asyncio.to_thread(until_filled, relay)
    shapes = questions(crowd, 1)
    rng = random.Random(2)
    names, weights = list(MIX), list(MIX.values())

    def mixed() -> tuple[str, list[Json]]:
        name = rng.choices(names, weights)[0]
        return name, [shapes[name]()]

    half = len(writes) // 3
    await ask(relay.ws_url, mixed, connections=CONNECTIONS, seconds=size.warm_seconds, writes=writes[:half],
              write_share=WRITE_SHARE)  # fmt: skip
    before = await snapshot(relay)
    asked = await ask(relay.ws_url, mixed, connections=CONNECTIONS, seconds=size.mixed_seconds, writes=writes[half:],
                      write_share=WRITE_SHARE)  # fmt: skip
    after = await snapshot(relay)
    found: Json = {"mixed": _figures(asked, before, after) | {"caches": _caches(before, after)}, "shapes": {}}
    for name in MIX:
        before = after
        one = partial(_of_shape, name, shapes[name])
        asked = await ask(relay.ws_url, one, connections=CONNECTIONS, seconds=size.shape_seconds)
        after = await snapshot(relay)
        found["shapes"][name] = _figures(asked, before, after)
    return found


def _of_shape(name: str, make: Callable[[], Json]) -> tuple[str, list[Json]]:
    return name, [make()]


def _figures(asked: Asked, before: Any, after: Any) -> Json:
    """Queries a second, the median, and the share of answers from each source in percent."""
    counts = {}
    for source in ("l1", "l2", "none"):
        name = f"query/req/{source}"
        was = before.total.histograms.get(name)
        counts[source] = after.total.histograms[name].count - (was.count if was else 0)
    answered = sum(counts.values()) or 1
    return {
        "per_second": round(asked.per_second, 1),
        "p50_ms": round(asked.median_ms(), 3),
        "published": asked.published,
        "source_percent": {source: round(100 * count / answered, 1) for source, count in counts.items()},
    }


def _caches(before: Any, after: Any) -> list[Json]:
    """Lookups and hit rate of each cache between two looks at the snapshot."""
    was = {(one.layer, one.name): one for one in before.total.caches}
    found = []
    for one in after.total.caches:
        old = was.get((one.layer, one.name))
        hits, misses = one.hits - (old.hits if old else 0), one.misses - (old.misses if old else 0)
        percent = round(100 * hits / (hits + misses), 1) if hits + misses else None
        found.append({"layer": one.layer, "name": one.name, "lookups": hits + misses, "hit_percent": percent})
    return found


async def memory(relay: RelayProcess, count: int) -> Json:
    """The workers before and after `count` distinct keys."""
    before = await snapshot(relay)
    await ask_distinct(relay, count)
    after = await snapshot(relay)
    return {
        "distinct_keys": count,
        "workers": [
            {
                "rss_before": one.memory["rss"],
                "rss_after": two.memory["rss"],
                "caches_before": one.memory["caches"],
                "caches_after": two.memory["caches"],
                "ring_after": two.memory["ring"],
                "entries_after": {f"{c.layer} {c.name}": c.size for c in two.caches if c.layer == "L1"},
            }
            for one, two in zip(before.workers, after.workers, strict=True)
        ],
    }


def pairs(folder: Path, maker: Maker, size: Size, tell: Callable[[str], None]) -> Json:
    """Publishing with caches off and on, by turns, each on a relay and a store of its own; events a second."""
    settings = {"off": VARIANTS["no cache"], "on": VARIANTS["L1+L2"]}
    relays = {name: relay_on(folder / name, chosen) for name, chosen in settings.items()}
    rates: dict[str, list[float]] = {"off": [], "on": []}
    try:
        for relay in relays.values():
            relay.start()
        for number in range(size.pairs + 1):  # the first is for warming up
            frames = [maker.signed(number * size.pair_events + n) for n in range(size.pair_events)]
            tell(f"publishing with caches off and on, pair {number} of {size.pairs}")
            for name in ("off", "on") if number % 2 else ("on", "off"):
                rate = uvloop.run(publish(relays[name].ws_url, frames, connections=10, window=50))
                if number:
                    rates[name].append(round(rate, 1))
    finally:
        for relay in relays.values():
            relay.destroy()
    ratios = [round(on / off, 4) for off, on in zip(rates["off"], rates["on"], strict=True)]
    return {**rates, "ratios": ratios, "median": statistics.median(ratios), "spread": [min(ratios), max(ratios)]}


def measure(folder: Path, size: Size, tell: Callable[[str], None]) -> Json:
    """Everything. The folder becomes the data folders of relays. Servers start in the main thread, outside of loops."""
    maker = Maker(size.events)
    store = folder / "store"
    found: Json = {"size": {name: getattr(size, name) for name in Size.__slots__}, "machine": _machine()}
    tell(f"filling a store with {size.events:,} events")
    with servers(store):
        step = max(1, size.events // 4)
        crowd = uvloop.run(fill(maker, lambda done: tell(f"{done:,} events") if done % step == 0 else None))
        tell("what an answer costs from each layer")
        found["layers"] = uvloop.run(layers(crowd, size.each))
    found["variants"] = {}
    for name, settings in VARIANTS.items():
        tell(f"asking a relay with {name}")
        writes = [maker.signed(number) for number in range(size.writes)]
        relay = relay_on(store, settings)
        try:
            relay.start()
            found["variants"][name] = uvloop.run(variant(relay, crowd, writes, size))
            if name == "L1+L2":
                tell(f"{size.distinct:,} distinct keys")
                found["memory"] = uvloop.run(memory(relay, size.distinct))
        finally:
            relay.destroy()
    found["publishing"] = pairs(folder, maker, size, tell)
    tell("done")
    return found


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}"


def main() -> int:
    """Measure, write the JSON file, print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.hit_rates", description=__doc__)
    parser.add_argument("--small", action="store_true", help="little of everything, to see that it works")
    parser.add_argument(
        "--json", type=Path, default=Path("hit_rates.json"), metavar="FILE", help="default: hit_rates.json"
    )
    arguments = parser.parse_args()
    for name in ("picows", "relay"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
        found = measure(Path(folder), SMALL if arguments.small else FULL, Progress())
    arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    print(hit_rates_text.tables(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())

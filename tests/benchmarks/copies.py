"""`python -m tests.benchmarks.copies --store DIR --instances N [--variant NAME VARIABLE=VALUE …] …`

What it costs to do without something: N relay instances of one worker each, on one PostgreSQL with more events than
their windows hold (DIR is filled by tests.benchmarks.bulk if it is empty) and one Valkey. Eight connections, spread
over the instances, send a mix of REQs and 2 % events as fast as they are answered. A run has three phases:

- `first`: from "relay ready" on, every cache empty;
- `warm`: after that;
- `restarted`: all instances were started again, the shared cache kept what it had.

Of each: answers a second, p50 and p95 of all and by shape, and CPU milliseconds per answer of the workers, PostgreSQL,
Valkey. A variant is the same run with other environment variables; it stands beside a run of the baseline, and is
compared with that. `--small` shows in a minute or two that it works; its figures say nothing.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count as counting
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop

from relay.loadtest.link import Link
from tests.acceptance.relay_process import RelayProcess
from tests.benchmarks.asker import LIMIT_SECONDS, connect, done, id_of
from tests.benchmarks.bulk import EVENTS, ensure, load_crowd
from tests.benchmarks.crowd import MIX, Crowd, Maker, Zipf, questions
from tests.benchmarks.filling import servers
from tests.benchmarks.published import figures

Json = dict[str, Any]
CONNECTIONS = 8
WRITE_SHARE = 0.02
PROFILES_AT_ONCE = 20

BASELINE = "baseline"
TICKS = os.sysconf("SC_CLK_TCK")
COMMON = {"RELAY_WINDOW_BYTES": str(64 * 2**20), "RELAY_CACHE_LAYERS": "l1+l2"}


@dataclass(frozen=True, slots=True)
class Size:
    """Seconds of each phase, how many events are signed for a run, and how many the store holds."""

    first_seconds: float
    warm_seconds: float
    restarted_seconds: float
    writes: int
    events: int


FULL = Size(10, 12, 10, 4_000, EVENTS)
SMALL = Size(1, 1, 1, 200, 20_000)


@dataclass
class Load:
    """What the clients send: frames of events, questions by shape, and how often each shape comes."""

    writes: Iterator[bytes]
    shapes: dict[str, Callable[[], Json]]
    weights: dict[str, float]
    profiles: Callable[[], list[str]]
    rng: random.Random = field(default_factory=lambda: random.Random(2))

    @classmethod
    def of(cls, crowd: Crowd, writes: Sequence[bytes], profiles_percent: float) -> "Load":
        rng = random.Random(4)
        author = Zipf(len(crowd.authors), rng)
        weights: dict[str, float] = {**MIX}
        if profiles_percent:
            weights["profiles"] = profiles_percent
        authors = crowd.authors
        return cls(
            iter(writes),
            questions(crowd, 1),
            weights,
            lambda: list({authors[author()] for _ in range(PROFILES_AT_ONCE)}),
        )

    def next_shape(self) -> str:
        return self.rng.choices(list(self.weights), list(self.weights.values()))[0]


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of the processes and of their children that have ended."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
    return total / TICKS


@dataclass
class Cluster:
    """The instances of one run, and the servers that they share."""

    store: Path
    relays: list[RelayProcess]

    def start(self) -> None:
        for relay in self.relays:
            relay.launch()
        for relay in self.relays:
            relay.wait_ready()

    def stop(self) -> None:
        for relay in self.relays:
            if relay.process is not None and relay.process.poll() is None:
                relay.stop()

    def destroy(self) -> None:
        for relay in self.relays:
            relay.destroy()

    def workers(self) -> list[int]:
        """Process ids of the workers of all instances."""
        return [pid for relay in self.relays for pid in relay.workers()]

    def cpu(self) -> dict[str, float]:
        """CPU seconds until now of each class of processes."""
        from relayproject.runtime.processes import living_in

        return {
            "workers": cpu_seconds(self.workers()),
            "postgres": cpu_seconds(list(living_in(self.store / "postgres", "postgres"))),
            "valkey": cpu_seconds(list(living_in(self.store, "valkey-server"))),
            "client": sum(os.times()[:2]),
        }


async def drive(cluster: Cluster, load: Load, seconds: float) -> Json:
    """Send `load` to all instances for `seconds`; the figures of one phase."""
    latencies: dict[str, list[float]] = {}
    made: list[tuple[Link, RelayProcess]] = []
    for number in range(CONNECTIONS):
        relay = cluster.relays[number % len(cluster.relays)]
        made += [(one, relay) for one in await connect(relay.ws_url, 1)]
    before = cluster.cpu()
    begin = perf_counter()

    async def run(number: int, link: Link, relay: RelayProcess) -> None:
        http = Http(relay.port)
        for turn in counting():
            if perf_counter() - begin >= seconds:
                break
            frame = next(load.writes, None) if load.rng.random() < WRITE_SHARE else None
            shape = "write" if frame is not None else load.next_shape()
            start = perf_counter()
            if frame is not None:
                await done(link.accepted(id_of(frame), frame))
            elif shape == "profiles":
                start = perf_counter()
                await http.get("/api/profiles?" + "&".join(f"pubkey={key}" for key in load.profiles()))
            else:
                asked = load.shapes[shape]()
                start = perf_counter()
                await done(link.answered(f"{number}-{turn}", asked))
            latencies.setdefault(shape, []).append(perf_counter() - start)
        http.close()

    try:
        await asyncio.gather(*[run(number, *one) for number, one in enumerate(made)])
        took = perf_counter() - begin
        after = cluster.cpu()
    finally:
        for link, _ in made:
            link.close()
    return _figures(latencies, took, {name: after[name] - before[name] for name in after})


class Http:
    """One connection for GETs, one after the other."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> bytes:
        """The body. RuntimeError for another status than 200."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode())
        async with asyncio.timeout(LIMIT_SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 200"):
                raise RuntimeError(head.decode())
            length = head.split(b"content-length:")[1].split(b"\r\n")[0]
            return await reader.readexactly(int(length))

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


def _figures(latencies: dict[str, list[float]], took: float, cpu: dict[str, float]) -> Json:
    total = sum(map(len, latencies.values()))
    every = [seconds for each in latencies.values() for seconds in each]
    shapes = {"all": every, **latencies}
    cost = {name: round(1000 * seconds / total, 4) for name, seconds in cpu.items()}
    cost["servers"] = round(sum(cost[name] for name in ("workers", "postgres", "valkey")), 4)
    return {
        "answers": total,
        "per_second": round(total / took, 1),
        "cpu_ms": cost,
        "p50_ms": {name: round(1000 * statistics.median(each), 3) for name, each in shapes.items()},
        "p95_ms": {name: round(1000 * _p95(each), 3) for name, each in shapes.items()},
    }


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]


def sources(url: str, cluster: Cluster) -> dict[str, int]:
    """Answers to REQs so far from "l1", "l2" and PostgreSQL ("none"), over all workers that run."""
    total = figures(url, cluster.workers()).total
    found = {}
    for source in ("l1", "l2", "none"):
        histogram = total.histograms.get(f"query/req/{source}")
        found[source] = histogram.count if histogram else 0
    return found


@contextlib.contextmanager
def exclusively(lock: Path | None) -> Iterator[None]:
    """While others who lock the same file wait."""
    if lock is None:
        yield
        return
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prepare(store: Path) -> None:
    """Make every run begin alike: an empty cache, and no instance known to the database."""
    import redis
    from django.db import connection

    redis.from_url(os.environ["REDIS_URL"]).flushall()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM relay_instance")
        cursor.execute("UPDATE relay_lease SET instance = NULL, ended_at = '-infinity'")
        cursor.execute("CHECKPOINT")
    connection.close()


def one_run(store: Path, instances: int, settings: dict[str, str], load: Load, size: Size) -> Json:
    """The three phases with these settings."""
    prepare(store)
    shared = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")}
    relays = [
        RelayProcess(store / f"instance-{number}", workers=1, roles="web", settings={**COMMON, **shared, **settings})
        for number in range(instances)
    ]
    cluster = Cluster(store, relays)
    found: Json = {}
    try:
        cluster.start()
        found["first"] = uvloop.run(drive(cluster, load, size.first_seconds))
        was = sources(shared["REDIS_URL"], cluster)
        found["warm"] = uvloop.run(drive(cluster, load, size.warm_seconds))
        now = sources(shared["REDIS_URL"], cluster)
        found["first"]["sources"] = was
        found["warm"]["sources"] = {name: now[name] - was[name] for name in now}
        cluster.stop()
        cluster.start()
        found["restarted"] = uvloop.run(drive(cluster, load, size.restarted_seconds))
        found["restarted"]["sources"] = sources(shared["REDIS_URL"], cluster)
        cluster.stop()
    finally:
        cluster.destroy()
    return found


def order(variants: Sequence[str], number: int) -> list[str]:
    """The runs of a round: each variant beside a baseline; the other way round in every second round."""
    runs = [BASELINE]
    for start in range(0, len(variants), 2):
        runs += [*variants[start : start + 2], BASELINE]
    return runs[::-1] if number % 2 else runs


def comparisons(runs: Sequence[Json]) -> list[tuple[Json, list[Json]]]:
    """Each variant's run with those of the baseline that stand nearest before and after it, in the order of `runs`."""
    found = []
    for number, run in enumerate(runs):
        if run["variant"] == BASELINE:
            continue
        same = [n for n, other in enumerate(runs) if other["session"] == run["session"]]
        bases = [n for n in same if runs[n]["variant"] == BASELINE]
        beside = [n for n in bases if n < number][-1:] + [n for n in bases if n > number][:1]
        if beside:
            found.append((run, [runs[n] for n in beside]))
    return found


PHASES = ("first", "warm", "restarted")
HEAD = (
    "instances | without | phase | runs | CPU | workers, PostgreSQL, Valkey: ms an answer | p95 | p95 by shape | L2, %"
)


def table(runs: Sequence[Json]) -> str:
    """Each variant as ratios to the baselines beside it, medians over the rounds: above 1 it costs to do without."""
    pairs: dict[tuple[int, str], list[tuple[Json, list[Json]]]] = {}
    for variant, bases in comparisons(runs):
        pairs.setdefault((variant["instances"], variant["variant"]), []).append((variant, bases))
    lines = [f"| {HEAD} |", "|" + "---|" * 9]
    for (instances, name), found in pairs.items():
        lines += [f"| {instances} | {name} | {phase} | {len(found)} | {_row(phase, found)} |" for phase in PHASES]
    return "\n".join(lines)


def _row(phase: str, found: Sequence[tuple[Json, list[Json]]]) -> str:
    def middle(*path: str) -> tuple[float, float]:
        """Of the variant and of the baselines."""
        variants = [_at(variant, (phase, *path)) for variant, _ in found]
        bases = [statistics.mean([_at(base, (phase, *path)) for base in beside]) for _, beside in found]
        return statistics.median(variants), statistics.median(bases)

    def ratio(*path: str) -> float:
        each = [
            _at(variant, (phase, *path)) / max(1e-9, statistics.mean([_at(base, (phase, *path)) for base in beside]))
            for variant, beside in found
        ]
        return statistics.median(each)

    costs = ", ".join("{:.2f} ({:.2f})".format(*middle("cpu_ms", name)) for name in ("workers", "postgres", "valkey"))
    shapes = [shape for shape in sorted(found[0][0][phase]["p95_ms"]) if shape != "all"]
    tails = ", ".join(f"{shape} {ratio('p95_ms', shape):.2f}" for shape in shapes)
    shared = [_share(base[phase]["sources"]) for _, beside in found for base in beside]
    return (
        f"{ratio('cpu_ms', 'servers'):.2f} | {costs} | {ratio('p95_ms', 'all'):.2f} | {tails} | "
        f"{statistics.median(shared):.1f}"
    )


def _share(sources: dict[str, int]) -> float:
    """Percent of the answers to REQs that came from the shared cache."""
    return 100 * sources["l2"] / max(1, sum(sources.values()))


def _at(found: Json, path: Sequence[str]) -> float:
    value: Any = found
    for name in path:
        value = value[name]
    return float(value)


def main() -> int:
    """Run the rounds, append each run to the JSON file, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.copies", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--store", type=Path, help="data folder of the store; filled if it is empty")
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--variant", nargs="+", action="append", default=[], metavar=("NAME", "VARIABLE=VALUE"))
    parser.add_argument("--profiles", type=float, default=0, metavar="PERCENT", help="profiles over HTTP in the mix")
    parser.add_argument("--json", type=Path, default=Path("copies.jsonl"), help="runs are appended; one line each")
    parser.add_argument("--lock", type=Path, help="a file that is locked during each run")
    parser.add_argument("--table", action="store_true", help="measure nothing, print the table of the JSON file")
    parser.add_argument("--small", action="store_true", help="little of everything, to see that it works")
    arguments = parser.parse_args()
    for name in ("picows", "relay"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not arguments.table:
        if arguments.store is None:
            parser.error("--store is needed")
        _measure(arguments, SMALL if arguments.small else FULL)
    print(table([json.loads(line) for line in arguments.json.read_text().splitlines()]))
    return 0


def _measure(arguments: argparse.Namespace, size: Size) -> None:
    variants = {name: dict(text.split("=", 1) for text in settings) for name, *settings in arguments.variant}
    begin = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - begin:5.0f} s  {what}", file=sys.stderr, flush=True)

    ensure(arguments.store, size.events, tell)
    crowd = load_crowd(arguments.store)
    session = f"{time.time():.0f}"
    maker = Maker(1)
    maker.crowd = crowd
    numbers = counting(int(time.time()) * 1_000_000)
    with servers(arguments.store):
        tell("a run that does not count: PostgreSQL's memory is empty")
        with exclusively(arguments.lock):
            one_run(arguments.store, arguments.instances, {}, Load.of(crowd, (), arguments.profiles), size)
        for number in range(arguments.rounds):
            for name in order(list(variants), number):
                writes = [maker.signed(next(numbers)) for _ in range(size.writes)]
                load = Load.of(crowd, writes, arguments.profiles)
                with exclusively(arguments.lock):
                    tell(f"{arguments.instances} instances, {name}, round {number + 1}")
                    found = one_run(arguments.store, arguments.instances, variants.get(name, {}), load, size)
                run = {"session": f"{session}-{number}", "instances": arguments.instances, "variant": name, **found}
                with arguments.json.open("a") as file:
                    file.write(json.dumps(run) + "\n")


if __name__ == "__main__":
    sys.exit(main())

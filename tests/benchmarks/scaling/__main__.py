"""`python -m tests.benchmarks.scaling [--times N] [--json FILE]`: the cost model of docs/scaling.md.

Two instances of one worker each, a primary, a streaming replica that answers the queries, a server for the shared cache
and one for the bus, on a store of 60,000 events. In each trial the first instance does one kind of work, at a rate, and
the second nothing. CPU of each process and the counters of the workers give the costs (`model.fit`). Then three
instances do everything at once, and their CPU is compared with what the costs predict. Last, the table of `plan`.

About four minutes, at a load that two cores can just carry; `--small` shows in one that it works. With `--from FILE` it
measures nothing.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import count as counting
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import uvloop

from tests.benchmarks import bulk
from tests.benchmarks.crowd import Crowd, Maker
from tests.benchmarks.filling import servers
from tests.benchmarks.scaling.load import Clients, Questions, Rates, signed, together
from tests.benchmarks.scaling.model import Part, Sample, Work
from tests.benchmarks.scaling.platform import PING_SECONDS, Platform, Reading, platform, resident
from tests.benchmarks.scaling.report import report

Json = dict[str, Any]
EVENTS = 60_000
REST = Rates()
CONNECTIONS = 2_000
TRIALS: dict[str, Rates] = {
    "rest": REST,
    "events, one by one": Rates(events=60),
    "events, to 50 more on the bus": Rates(events=60, readers=50),
    "events, 40 at once": Rates(events=240, burst=40),
    "deliveries to 100": Rates(events=40, listeners=100),
    "queries from memory": Rates(memory=150),
    "queries from PostgreSQL": Rates(database=100),
    "home feeds from PostgreSQL": Rates(feeds=15),
    "waiting connections": Rates(waiting=CONNECTIONS),
}
"""What the first of two instances does."""

MIXED = (
    Rates(events=25, memory=50, database=25, feeds=4, listeners=40),
    Rates(events=10, memory=80, database=10, feeds=2, listeners=10, waiting=300),
    Rates(events=5, memory=10, database=40, feeds=1),
)
"""What three instances do at once."""


def samples(before: Reading, after: Reading, seconds: float, rates: Sequence[Rates]) -> list[Sample]:
    """One of each worker, and one of each server for the work of all workers."""
    found, total = [], Work(servers=seconds)
    for (pid, (cpu, work)), each in zip(after.workers.items(), rates, strict=True):
        was, done = before.workers[pid]
        held = each.waiting + each.listeners + 2
        here = work - done + Work(seconds=seconds, connections=held * seconds / PING_SECONDS)
        found.append(Sample(Part.WORKERS, here, cpu - was))
        total += here
    total += Work(messages=total.commits * sum(each.readers for each in rates))
    return found + [Sample(part, total, cpu - before.servers[part]) for part, cpu in after.servers.items()]


async def trial(where: Platform, rates: Sequence[Rates], crowd: Crowd, frames: Iterator[bytes], seconds: float) -> Json:
    """Samples of one trial, bytes of WAL, and of memory for a connection without and with a subscription."""
    questions, pids = Questions(crowd), where.pids
    clients = [Clients(relay.ws_url, each, questions, frames) for relay, each in zip(where.relays, rates, strict=True)]
    sizes = [sum(map(resident, pids))]
    try:
        for each in clients:
            await each.open()
        for step in (Clients.wait_in_vain, Clients.follow_in_vain):
            for each in clients:
                await step(each)
            sizes.append(sum(map(resident, pids)))
        async with where.readers(sum(each.readers for each in rates)):
            before, begin = await where.read({}), time.monotonic()
            await together(clients, seconds)
            after = await where.read({pid: each.feeds for pid, each in zip(pids, clients, strict=True)})
            found = samples(before, after, time.monotonic() - begin, rates)
    finally:
        for each in clients:
            each.close()
    await asyncio.sleep(1.0)
    return {
        "samples": [asdict(sample) for sample in found],
        "wal": [now - was for was, now in zip(before.wal, after.wal, strict=True)],
        "memory": [now - was for was, now in pairwise(sizes)],
        "resident": [resident(pid) for pid in pids],
        "refused": sum(each.refused for each in clients),
        "load": os.getloadavg()[0],
    }


async def alone(where: Platform, seconds: float) -> Json:
    """The servers without an instance."""
    before, begin = where.servers(), time.monotonic()
    await asyncio.sleep(seconds)
    work = Work(servers=time.monotonic() - begin)
    found = [Sample(part, work, cpu - before[part]) for part, cpu in where.servers().items()]
    return {"samples": [asdict(sample) for sample in found]}


def measure(folder: Path, seconds: float, times: float, tell: Any) -> Json:
    """All trials, and the check, at so many times the rates."""
    from relay.storage.database import conninfo

    found: Json = {"at": time.strftime("%Y-%m-%d %H:%M"), "seconds": seconds, "times": times, "trials": {}, "check": {}}
    with servers(folder):
        bulk.load(folder, bulk.Writer(EVENTS), tell)
        with psycopg.connect(conninfo(), autocommit=True) as database:
            database.execute("ALTER SYSTEM SET autovacuum = off")  # its CPU would be charged to whatever runs then
            database.execute("SELECT pg_reload_conf()")
        crowd = bulk.load_crowd(folder)
        maker = Maker(1)
        maker.crowd = crowd
        frames = signed(maker, counting(int(time.time()) * 1_000))
        with platform(folder) as where:
            tell("servers alone")
            found["trials"]["servers alone"] = uvloop.run(alone(where, seconds / 2))
            with where.running(2):
                time.sleep(3.0)  # the copies of the workers are filled
                for name, once in TRIALS.items():
                    tell(name)
                    rates = once.times(times)
                    checkpoint()
                    made = trial(where, (rates, REST), crowd, ready(frames, rates, seconds), seconds)
                    found["trials"][name] = uvloop.run(made)
            with where.running(3):
                time.sleep(3.0)
                tell("three instances, everything at once")
                checkpoint()
                mixed = [each.times(times) for each in MIXED]
                events = ready(frames, Rates(events=sum(each.events for each in mixed)), 2 * seconds)
                found["check"] = uvloop.run(trial(where, mixed, crowd, events, 2 * seconds))
    return found


def ready(frames: Iterator[bytes], rates: Rates, seconds: float) -> Iterator[bytes]:
    """Frames for a trial, signed before it begins."""
    return iter([next(frames) for _ in range(round(rates.events * seconds) + 100)])


def checkpoint() -> None:
    """From here on the first change of each page writes all of it to the WAL."""
    from relay.storage.database import conninfo

    with psycopg.connect(conninfo(), autocommit=True) as database:
        database.execute("CHECKPOINT")


def main() -> int:
    """Measure or read, print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scaling", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each trial")
    parser.add_argument("--times", type=float, default=3.0, help="the rates: work that comes more often costs less")
    parser.add_argument("--small", action="store_true", help="trials of two seconds, to see that it works")
    parser.add_argument("--json", type=Path, help="keep what was measured")
    parser.add_argument("--from", type=Path, dest="kept", help="print the report of what was kept")
    arguments = parser.parse_args()
    logging.getLogger("picows").setLevel(logging.ERROR)
    begin = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - begin:5.0f} s  {what}", file=sys.stderr, flush=True)

    if arguments.kept:
        found = json.loads(arguments.kept.read_text())
    else:
        with tempfile.TemporaryDirectory(prefix="relay-scaling-", ignore_cleanup_errors=True) as name:
            Path(name).chmod(0o755)
            found = measure(Path(name), 2.0 if arguments.small else arguments.seconds, arguments.times, tell)
    if arguments.json:
        arguments.json.write_text(json.dumps(found))
    print(report(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A file of signed events on which a benchmark runs rounds: made once, and kept if asked for.

A realistic mix of kinds, authors by Zipf's law; each author has one profile at most.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

from relay.loadtest.plan import Plan, Scenario
from relay.loadtest.pool import signed_events

EVENTS = 500_000
CORES = os.cpu_count() or 1

Figures = TypeVar("Figures")


def rounds(
    program: str,
    text: str | None,
    one_round: Callable[[Path, int, Path], Figures],
    arguments: Sequence[str] | None,
    *,
    events: int = EVENTS,
) -> list[Figures]:
    """What each round returns, which gets the file, its number of events, and a folder that all rounds share."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks.{program}", description=text)
    parser.add_argument("--events", type=int, default=events)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="the file of the events: made if it is not there, and kept")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = given.keep or Path(folder) / "events.jsonl"
        if not path.exists():
            print(f"signing {given.events:,} events ...", file=sys.stderr, flush=True)
            make(path, given.events)
        return [one_round(path, given.events, Path(folder)) for _ in range(given.rounds)]


def make(path: Path, events: int) -> None:
    """Write `events` signed events."""
    now = int(time.time())
    with ProcessPoolExecutor(CORES) as pool, path.open("wb") as file:
        for part in pool.map(_sign, [events] * CORES, [now] * CORES, range(CORES)):
            file.write(part)


def _sign(events: int, now: int, index: int) -> bytes:
    """The lines of one process."""
    whole = _plan(events, now)
    return b"".join([event.frame[len(b'["EVENT",') : -1] + b"\n" for event in signed_events(whole, whole.share(index))])


def _plan(events: int, now: int) -> Plan:
    return Plan(
        urls=("",), scenario=Scenario.INGEST, connections=1, subscribers=0, events=events, duration=1, event_rate=0,
        query_rate=0, window=1, processes=CORES, authors=max(100, events // 50), seed=7, existing=False, run="0" * 8,
        now=now,
    )  # fmt: skip

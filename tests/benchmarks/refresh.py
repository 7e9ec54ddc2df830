"""`python -m tests.benchmarks.refresh [--large] ...`: what roll-up and refreshes cost, and whether publishing feels it.

On a whole relay of the benchmark's own, without Celery: the jobs run in this process, so that it is known when. First
the store is filled straight by SQL with a week of events, then the roll-up reads it, follows the log, and each view is
refreshed. Then come pairs of publishing at full speed, once with and once without jobs, in turns that change places. In
the half with jobs every view is refreshed at least once and the roll-up runs every five seconds, many times as often as
in the schedule, so what is found is more than what a relay meets.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.acceptance.relay_process import RelayProcess
from tests.benchmarks.server import _load

SQL = Path(__file__).with_suffix(".sql")
FILL = 50_000
ROUNDS = 3
ROLL_UP_SECONDS = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.refresh", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="events in the store (200,000)")
    parser.add_argument("--large", action="store_true", help="2,000,000 events")
    parser.add_argument("--pairs", type=int, default=7, help="pairs of publishing with and without jobs (7)")
    parser.add_argument("--publish", type=int, default=60_000, help="events of each half of a pair (60,000)")
    parser.add_argument("--workers", type=int, default=2, help="relay workers (2)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
        relay = RelayProcess(Path(folder), workers=arguments.workers, roles="web,migrate")
        relay.start()
        try:
            _set_up(relay, folder)
            _fill(2_000_000 if arguments.large else arguments.events)
            _jobs_alone()
            _pairs(relay, arguments.pairs, arguments.publish)
        finally:
            _close()
            relay.destroy()
    return 0


def _set_up(relay: RelayProcess, folder: str) -> None:
    os.environ.update(relay.services(), RELAY_DATA_DIR=folder, SECRET_KEY="for benchmarks alone" * 4)
    os.environ["DJANGO_SETTINGS_MODULE"] = "relayproject.settings"
    import django

    django.setup()


def _close() -> None:
    from django.db import connection

    connection.close()


def _rows(query: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def _fill(events: int, first: int = 1) -> None:
    text = SQL.read_text()
    begun = time.perf_counter()
    for begin in range(first, first + events, FILL):
        end = min(begin + FILL, first + events) - 1
        ((position,),) = _rows("SELECT relay_position()")
        for room in (position, position + FILL):
            _rows(f"SELECT relay_log_make_room({room + 1})::text")
        _rows(text, {"first": begin, "last": end, "position": position, "authors": 20_000})
        _say(f"\rfilled {end - first + 1:,} of {events:,}")
    for table in ("relay_event", "relay_tag", "relay_change"):
        _rows(f"VACUUM ANALYZE {table}")
    _say(f" in {time.perf_counter() - begun:.0f} s\n")


def _jobs_alone() -> None:
    """Print what each job takes while no client publishes."""
    from analytics.refresh import refresh
    from analytics.registry import VIEWS
    from analytics.rollup import roll_up

    seconds, done = _timed(lambda: roll_up(3_600.0, rests=False))
    print(f"roll-up made anew: {done.events:,} events in {seconds:.1f} s, {done.events / seconds:,.0f}/s")
    _fill(20_000, first=10**9)
    seconds, done = _timed(lambda: roll_up(3_600.0, rests=False))
    print(f"roll-up of the log: {done.changes:,} changes in {seconds:.2f} s, {done.changes / seconds:,.0f}/s")
    _rows("VACUUM ANALYZE analytics_recent")
    for view in VIEWS:
        times = []
        for _ in range(ROUNDS):
            seconds, rows = _timed(partial(refresh, view))
            times.append(seconds)
        print(f"refresh {view.name}: {statistics.median(times) * 1000:,.0f} ms (of {ROUNDS}), {rows:,} rows")
    ((recent, events),) = _rows(
        "SELECT pg_total_relation_size('analytics_recent'), pg_total_relation_size('relay_event')"
    )
    print(f"analytics_recent {recent / 2**20:,.0f} MiB beside relay_event {events / 2**20:,.0f} MiB", flush=True)


def _pairs(relay: RelayProcess, pairs: int, events: int) -> None:
    ratios = []
    for number in range(pairs):
        halves = {}
        for with_jobs in (number % 2 == 0, number % 2 == 1):
            halves[with_jobs] = _publish(relay, events, with_jobs=with_jobs)
        ratios.append(halves[True] / halves[False])
        print(
            f"pair {number + 1}: {halves[False]:,.0f} events/s without, {halves[True]:,.0f} with jobs, "
            f"ratio {ratios[-1]:.3f}",
            flush=True,
        )
    if ratios:
        print(f"publishing with jobs: median ratio {statistics.median(ratios):.3f}", end="")
        print(f", spread {min(ratios):.3f} to {max(ratios):.3f}, of {pairs} pairs of {events:,} events")


def _publish(relay: RelayProcess, events: int, *, with_jobs: bool) -> float:
    """Events a second of one half. What the half before left to the roll-up is done with first."""
    from analytics.rollup import roll_up

    roll_up(3_600.0, rests=False)
    stop = threading.Event()
    jobs = threading.Thread(target=_jobs, args=(stop,))
    if with_jobs:
        jobs.start()
    try:
        report = _load(relay.ws_url, "ingest", "--connections", "10", "--window", "50", "--events", str(events))
    finally:
        stop.set()
        if with_jobs:
            jobs.join()
    return float(report["figures"]["events"]["per_second"])


def _jobs(stop: threading.Event) -> None:
    """The roll-up every some seconds, and one view after another in between."""
    from analytics.refresh import refresh
    from analytics.registry import VIEWS
    from analytics.rollup import roll_up

    left = list(VIEWS)
    due = time.monotonic()
    while not stop.is_set():
        if time.monotonic() >= due:
            roll_up(ROLL_UP_SECONDS)
            due = time.monotonic() + ROLL_UP_SECONDS
        elif left:
            refresh(left.pop(0))
        stop.wait(0.2)
    _close()


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    found = work()
    return time.perf_counter() - begun, found


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())

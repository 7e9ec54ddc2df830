"""`python -m tests.benchmarks.anti_entropy [--events N] [--rounds N] [--keep FILE]`: a region that joins.

The yardstick of the same round: the import of the same events into the other region, whose relay runs too. Then the
new region is filled by `manage.py reconcile` while both serve, and at last two equal regions are compared. Everything
shares the cores, so the filling pays for the answers of the other region as well.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.acceptance.regions.pair import heal, rows, run, two_regions
from tests.benchmarks.transfer import make

EVENTS = 100_000


def one_round(path: Path, events: int, folder: Path) -> tuple[float, float, float]:
    """Events a second: imported, filled, compared."""
    with two_regions(folder) as (eu, us):
        began = time.perf_counter()
        run(us, "import", str(path), "--quiet", seconds=600)
        imported = events / (time.perf_counter() - began)
        began = time.perf_counter()
        report = heal(eu, "us", seconds=600)
        filled = events / (time.perf_counter() - began)
        assert rows(eu, "SELECT count(*) FROM relay_event") == rows(us, "SELECT count(*) FROM relay_event")
        assert report["is_whole"]
        began = time.perf_counter()
        again = heal(eu, "us", seconds=600)
        assert again["differing"] == 0
        return imported, filled, events / (time.perf_counter() - began)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the median of each figure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.anti_entropy", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="the file of the events: made if it is not there, and kept")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = given.keep or Path(folder) / "events.jsonl"
        if not path.exists():
            print(f"signing {given.events:,} events ...", file=sys.stderr, flush=True)
            make(path, given.events)
        rounds = [one_round(path, given.events, Path(folder) / str(number)) for number in range(given.rounds)]
    imported, filled, compared = (median(figures) for figures in zip(*rounds, strict=True))
    print(f"imported  {imported:>10,.0f} events a second, start of the command included")
    print(f"filled    {filled:>10,.0f}, {median(one[1] / one[0] for one in rounds):.2f} of it")
    print(f"compared  {compared:>10,.0f}, with an equal region")


if __name__ == "__main__":
    main()

"""`python -m tests.benchmarks.anti_entropy [--events N] [--rounds N] [--keep FILE]`: a region that joins.

The yardstick of the same round: the import of the same events into the other region, whose relay runs too. Then the
new region is filled by `manage.py reconcile` while both serve, and at last two equal regions are compared. Everything
shares the cores, so the filling pays for the answers of the other region as well.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.acceptance.regions.pair import heal, rows, run, two_regions
from tests.benchmarks.event_file import rounds

EVENTS = 100_000


def one_round(path: Path, events: int, folder: Path) -> tuple[float, float, float]:
    """Events a second: imported, filled, compared."""
    with two_regions(Path(tempfile.mkdtemp(dir=folder))) as (eu, us):
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
    found = rounds("anti_entropy", __doc__, one_round, arguments, events=EVENTS)
    imported, filled, compared = (median(figures) for figures in zip(*found, strict=True))
    print(f"imported  {imported:>10,.0f} events a second, start of the command included")
    print(f"filled    {filled:>10,.0f}, {median(one[1] / one[0] for one in found):.2f} of it")
    print(f"compared  {compared:>10,.0f}, with an equal region")


if __name__ == "__main__":
    main()

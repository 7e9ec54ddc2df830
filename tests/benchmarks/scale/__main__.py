"""What a relay does with more and more stored events, and with partitions: the tables of docs/storage-scale.md.

For each number of --events a store of a year is filled (tests.benchmarks.bulk), and a relay with two workers is asked
over its WebSocket: eight shapes of filters, home feeds and a mix as in life; then events are published. Once without
caches and once with them. The table says questions a second, p50 and p95, events a second, bytes an event, memory, and
the ratio to a bare echo. With several numbers of --parts, the stores of each number of events stand beside each other:
every partitioned one runs beside one table and is asked in turn with it.

Stores are filled in --store, and stay there for the next run, which finds them by their names: 200k, 2m, 2m-12. What
was published is removed again. A signal ends it in order.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.scale import report
from tests.benchmarks.scale.measure import VARIANTS, Effort, bytes_an_event, measure
from tests.benchmarks.scale.stores import NotFilled, Size, fill, folder_of

Json = dict[str, Any]
EVENTS = (20_000, 200_000, 2_000_000)
QUESTIONS = 10
SMALL = Effort(rounds=1, seconds=0.2, warm_seconds=0.1, events=200)
EXAMPLES = """examples:
  fill the stores (2,000,000 events take about five minutes and 5 GB):
    python -m tests.benchmarks.scale --store /tmp/scale --load-only
    python -m tests.benchmarks.scale --store /tmp/scale --load-only --events 2000000 --parts 4 12
  measure, and write the document (six minutes each):
    python -m tests.benchmarks.scale --store /tmp/scale --write
    python -m tests.benchmarks.scale --store /tmp/scale --events 2000000 --parts 1 4 12 --write
  measure one store:
    python -m tests.benchmarks.scale --store /tmp/scale/2m --events 2000000"""


def runs(events: Sequence[int], parts: Sequence[int]) -> list[list[Size]]:
    """The stores that are measured together: one, or one table with each partitioned one. Small ones first."""
    found = []
    for count in sorted(events):
        divided = [Size(count, each) for each in sorted(parts) if each > 1]
        if 1 in parts and divided:
            found += [[Size(count), each] for each in divided]
        else:
            found += [[Size(count, each)] for each in sorted(parts)]
    return found


def main() -> int:
    """Fill, measure, print. Exit codes: 0; 1: a store could not be filled; 2: usage; 130: ended by a signal."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begin = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - begin:5.0f} s  {what}", file=sys.stderr, flush=True)

    try:
        with tempfile.TemporaryDirectory(prefix="relay-scale-", ignore_cleanup_errors=True) as made:
            _run(arguments, (arguments.store or Path(made)).absolute(), tell)
    except NotFilled:
        return 1
    except KeyboardInterrupt:
        tell("ended; stores that were filled stay")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.scale",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--events", type=int, nargs="+", default=EVENTS, metavar="N", help="default: 20000 200000 2000000"
    )
    parser.add_argument(
        "--parts", type=int, nargs="+", default=[1], metavar="N", help="partitions; 1, the default: one table"
    )
    parser.add_argument("--store", type=Path, metavar="DIR", help="folder of the stores; by default one that goes away")
    parser.add_argument(
        "--load-only", action="store_true", help="fill the stores that are missing, and measure nothing"
    )
    parser.add_argument("--write", action="store_true", help=f"keep the figures and write {report.DOCUMENT.name}")
    parser.add_argument("--small", action="store_true", help="measure little, to see that it works")
    return parser


def _tell_of(tell: Any, names: str, what: str) -> None:
    tell(f"{names}, {what}")


def _run(arguments: argparse.Namespace, base: Path, tell: Any) -> None:
    groups = runs(arguments.events, arguments.parts)
    sizes = list(dict.fromkeys(size for group in groups for size in group))
    for size in sizes:
        tell(f"the store {size.name}")
        fill(folder_of(base, size), size)
    if arguments.load_only:
        return
    effort = SMALL if arguments.small else Effort()
    seconds = sum(len(group) for group in groups) * len(VARIANTS) * effort.of_a_store(QUESTIONS)
    tell(f"measuring {len(groups)} times; this takes about {seconds / 60:.0f} minutes")
    stored = {size.name: bytes_an_event(folder_of(base, size), size) for size in sizes}
    measured: list[Json] = []
    for group in groups:
        for variant in VARIANTS:
            stores = {size: folder_of(base, size) for size in group}
            names = " and ".join(size.name for size in group)
            measured += measure(stores, variant, effort, partial(_tell_of, tell, names))
    first: dict[tuple[str, int, int], Json] = {}
    for each in measured:  # one table was measured beside each partitioned store
        first.setdefault((each["variant"], each["parts"], each["events"]), each)
    found: Json = {"measured": list(first.values()), "bytes": stored}
    if arguments.write:
        found = report.keep(found["measured"], stored)
        report.write(report.tables(found))
    for name, table in report.tables(found).items():
        print(f"### {name}\n\n{table}")


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.benchmarks.regions [--parts NAME ...] [--full]`: what replication between three regions achieves.

Three whole regions start on this machine, each in a network namespace; their wires have round trips of 40, 80 and
160 ms. Needs root and iproute2; traffic stays on this machine. The small form takes about three minutes, --full half an
hour. --faults N kills each part N times instead (10 to 30 s each). It prints tables; --write puts them and their plots
into docs/regions.md. The exit code is 1 if an event was lost.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from tests.benchmarks.regions import plots, report
from tests.benchmarks.regions.faults import faults
from tests.benchmarks.regions.measured import FULL, SMALL, Sizes
from tests.benchmarks.regions.parts import PARTS
from tests.benchmarks.regions.three import ALLOWED, Three, three_regions
from tests.namespaces import NotAllowed

PART_SECONDS = {True: 1_800.0, False: 180.0}
TRIAL_SECONDS = 300.0


def main(words: Sequence[str] | None = None) -> int:
    """Measure; the exit code."""
    arguments = _parse(words)
    signal.signal(signal.SIGTERM, _end)  # so that everything is stopped then as well
    with tempfile.TemporaryDirectory(prefix="relay-regions-", ignore_cleanup_errors=True) as folder:
        try:
            with three_regions(Path(folder), arguments.congestion) as three:
                _tell(f"the wires: {three.wires.how}")
                found = asyncio.run(_measure(three, arguments, Path(folder)))
                how = _described(three, arguments)
        except NotAllowed as refusal:
            _tell(str(refusal))
            return 2
        except KeyboardInterrupt:
            _tell("stopped")
            return 130
    for part, results in found.items():
        _show(part, results, how, write=arguments.write)
    return int(any(_is_bad(one) for results in found.values() for one in results))


def _is_bad(result: object) -> bool:
    return bool(getattr(result, "missing", 0)) or not getattr(result, "cursors_right", True)


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.regions", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--full", action="store_true", help="a cut of 60 s, backlogs of 100,000")
    parser.add_argument("--cut-seconds", type=float, metavar="S", help="how long a wire is cut")
    parser.add_argument("--backlog", type=int, metavar="N", help="reactions before the urgent events")
    parser.add_argument("--notes", type=int, metavar="N", help="events of each measurement of throughput")
    parser.add_argument("--joined", type=int, metavar="N", help="events that a region that joins lacks")
    parser.add_argument("--faults", type=int, metavar="N", help="kill each part N times, in place of the parts")
    parser.add_argument(
        "--congestion", choices=ALLOWED.read_text().split(), default="reno", help="congestion control of TCP (reno)"
    )
    parser.add_argument("--write", action="store_true", help="put tables and plots into the documents")
    return parser.parse_args(words)


def _sizes(arguments: argparse.Namespace) -> Sizes:
    names = ("cut_seconds", "backlog", "notes", "joined")
    given: dict[str, Any] = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    return replace(FULL if arguments.full else SMALL, **given)


async def _measure(three: Three, arguments: argparse.Namespace, folder: Path) -> dict[str, list[Any]]:
    await three.settle()
    if arguments.faults:
        async with asyncio.timeout(arguments.faults * 6 * TRIAL_SECONDS):
            return {"faults": list(await faults(three, arguments.faults, _tell))}
    found: dict[str, list[Any]] = {}
    for part, work in PARTS.items():
        if part in arguments.parts:
            began = time.monotonic()
            async with asyncio.timeout(PART_SECONDS[arguments.full]):
                found[part] = list(await work(three, _sizes(arguments), folder))
            _tell(f"{part}: {time.monotonic() - began:.0f} s")
    return found


def _described(three: Three, arguments: argparse.Namespace) -> str:
    """The circumstances, as a paragraph."""
    size = "full run" if arguments.full else "faults" if arguments.faults else "small run"
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {size}: {os.cpu_count()} cores for all three regions and the clients, load "
        f"average {os.getloadavg()[1]:.1f},\nTCP {arguments.congestion}, wires by {three.wires.how}.\n"
    )


def _show(part: str, results: list[Any], how: str, *, write: bool) -> None:
    text = f"{report.TABLES[part](results)}\n{how}"
    print(f"{part}\n\n{text}")
    if write:
        report.write(part, text)
        if part in plots.PLOTS:
            plots.write(part, plots.PLOTS[part](results))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.benchmarks.faults [--times N] [--minutes N] [--parts NAME ...]`: take each part of a cluster away.

It starts a cluster of its own, or uses the one in --folder, tries each fault once, then each again, and prints the
table; --write puts it into docs/operations/faults.md, --json keeps every trial. One trial takes 15 to 90 seconds.
Ctrl-C and SIGTERM end the run after the trial under way. `--ways cut` (a part from all others) and `--ways pair` (two
parts from each other) need root, and a cluster that this run starts.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from relayproject.runtime.cluster.cluster import Cluster
from relayproject.runtime.cluster.options import Failover, Options, Valkey
from relayproject.runtime.cluster.state import load
from relayproject.runtime.errors import StartupError
from tests.acceptance.cluster_command import free_base_port
from tests.benchmarks.faults import report, results
from tests.benchmarks.faults.cases import Case, Way, cases
from tests.benchmarks.faults.network import Network
from tests.benchmarks.faults.results import Result, kind_of
from tests.benchmarks.faults.rounds import End, ignore, interrupt, rounds
from tests.benchmarks.faults.trial import Bench, NotMade, run

CUTS = {"cut", "pair"}
MOST_FAILED = 3
"""So many trials without a result, one after the other, end the run."""


def main() -> int:
    """Run the matrix; the exit code is 1 if an acknowledged event was lost, or an answer was wrong."""
    arguments = _parse()
    if arguments.files:
        try:
            return _report(results.read(arguments.files), write=arguments.write)
        except (OSError, msgspec.MsgspecError) as error:
            _tell(f"These files cannot be read: {error}")
            return 2
    signal.signal(signal.SIGTERM, interrupt)
    found: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="relay-faults-", ignore_cleanup_errors=True) as made:
        folder = arguments.folder or Path(made)
        network: Network | None = None
        cluster = Cluster(folder.absolute(), _tell)
        try:
            if CUTS & set(arguments.ways):
                network = Network()
                cluster = Cluster(folder.absolute(), _tell, network.start)
            cluster.up(_given(arguments, new=load(folder) is None))
            state = load(folder)
            bench = Bench(cluster, state.options if state else Options(), network)
            asyncio.run(_matrix(bench, arguments, found))
        except StartupError as refusal:
            _tell(str(refusal))
            return 2
        except KeyboardInterrupt:
            _tell("ended at once")
        finally:
            ignore()
            if load(folder) is not None and not arguments.leave:
                cluster.down()
            if network is not None:
                network.close()
    return _report(found, write=arguments.write)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.faults", description=__doc__)
    parser.add_argument("--times", type=int, metavar="N", help="trials of each fault; 1, with --minutes without end")
    parser.add_argument("--minutes", type=float, metavar="N", help="begin no trial after so long")
    parser.add_argument("--parts", nargs="+", metavar="NAME", help="as in the table, such as primary; all if none")
    parser.add_argument("--ways", nargs="+", choices=[one.name.lower() for one in Way], default=["kill", "pause"])
    parser.add_argument("--failover", choices=[str(one) for one in Failover])
    parser.add_argument("--valkey", choices=[str(one) for one in Valkey])
    parser.add_argument("--instances", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="of a cluster that stays; by default a new one")
    parser.add_argument("--leave", action="store_true", help="leave the cluster of --folder running")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append every trial when it ends, a line for each")
    parser.add_argument(
        "--from", nargs="+", type=Path, dest="files", metavar="FILE", help="run nothing: make the tables of these files"
    )
    parser.add_argument("--write", action="store_true", help="put the tables into the document")
    arguments = parser.parse_args()
    if arguments.leave and not arguments.folder:
        parser.error("--leave needs --folder: a new cluster's folder is removed.")
    return arguments


def _given(arguments: argparse.Namespace, *, new: bool) -> dict[str, object]:
    given: dict[str, object] = {"base_port": free_base_port(), "prometheus": False} if new else {}
    for name in ("failover", "valkey", "instances"):
        value = getattr(arguments, name)
        if value is not None and (new or name == "instances"):
            given[name] = value
    return given


def _chosen(options: Options, parts: list[str] | None) -> list[Case]:
    known = cases(options)
    unknown = set(parts or ()) - {case.part for case in known}
    if unknown:
        raise StartupError(f"There is no {unknown.pop()}: {', '.join(case.part for case in known)}.")
    return [case for case in known if not parts or case.part in parts]


async def _matrix(bench: Bench, arguments: argparse.Namespace, found: list[Result]) -> None:
    """Append the result of each trial to `found`, and to the file."""
    end = End(arguments.minutes, _tell)
    end.listen()
    ways = [Way[name.upper()] for name in arguments.ways]
    times = arguments.times or (None if arguments.minutes else 1)
    for number, case, way in rounds(_chosen(bench.options, arguments.parts), ways, times):
        if end.has_come:
            return
        started = time.monotonic()
        try:
            found.append(await run(bench, case, way))
        except NotMade as error:
            found.append(Result(kind_of(bench.options), case.part, str(way), failed=str(error)))
        _tell(f"round {number}, {_told(found[-1])} ({time.monotonic() - started:.0f} s)")
        if arguments.json:
            results.append(arguments.json, found[-1])
        if len(found) >= MOST_FAILED and all(one.failed for one in found[-MOST_FAILED:]):
            _tell(f"{MOST_FAILED} trials without a result, one after the other: that is the end")
            return


def _told(one: Result) -> str:
    """A trial as a line for the terminal."""
    if one.failed:
        return f"{one.part}, {one.way}: no result: {one.failed}"
    repair = " and a repair" if one.repaired else ""
    return (
        f"{one.part}, {one.way}: lost {one.lost} of {one.acknowledged}, {one.wrong} wrong, {one.dead} dead, "
        f"well after {one.well_seconds:.1f} s{repair} {one.note}"
    )


def _report(found: Sequence[Result], *, write: bool) -> int:
    made = report.tables(found)
    print(report.text(made))
    if write and made:
        report.write(made)
    return int(any(one.is_bad for one in found))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

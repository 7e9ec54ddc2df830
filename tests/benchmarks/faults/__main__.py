"""`python -m tests.benchmarks.faults [--times N] [--parts NAME ...]`: take each part of a cluster away, under load.

It starts a cluster of its own, or uses the one in --folder, and prints the table; --write puts it into
docs/operations/faults.md, --json keeps every trial. One trial takes 15 to 90 seconds. `--ways cut` needs root, and a
cluster that it starts itself.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from relayproject.runtime.cluster.cluster import Cluster
from relayproject.runtime.cluster.options import Failover, Options, Valkey
from relayproject.runtime.cluster.state import load
from relayproject.runtime.errors import StartupError
from tests.acceptance.cluster_command import free_base_port
from tests.benchmarks.faults import network, report
from tests.benchmarks.faults.cases import Case, Way, cases
from tests.benchmarks.faults.trial import Result, run


def main() -> int:
    """Run the matrix; the exit code is 1 if an acknowledged event was lost, or an answer was wrong."""
    arguments = _parse()
    if "cut" in arguments.ways:
        network.enter()
        network.prepare()
    with tempfile.TemporaryDirectory(prefix="relay-faults-", ignore_cleanup_errors=True) as made:
        folder = arguments.folder or Path(made)
        cluster = Cluster(folder.absolute(), _tell)
        try:
            cluster.up(_given(arguments, new=load(folder) is None))
            results = asyncio.run(_matrix(cluster, _chosen(cluster, arguments.parts), arguments))
        except StartupError as refusal:
            _tell(str(refusal))
            return 2
        finally:
            if load(folder) is not None and not arguments.leave:
                cluster.down()
    text = report.table(results)
    print(text)
    if arguments.write:
        report.write(text)
    return int(any(one.lost or one.wrong or one.dead for one in results))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.faults", description=__doc__)
    parser.add_argument("--times", type=int, default=1, metavar="N", help="trials of each fault")
    parser.add_argument("--parts", nargs="+", metavar="NAME", help="as in the table, such as primary; all if none")
    parser.add_argument("--ways", nargs="+", choices=[one.name.lower() for one in Way], default=["kill", "pause"])
    parser.add_argument("--failover", choices=[str(one) for one in Failover])
    parser.add_argument("--valkey", choices=[str(one) for one in Valkey])
    parser.add_argument("--instances", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="of a cluster that stays; by default a new one")
    parser.add_argument("--leave", action="store_true", help="leave the cluster running")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every trial")
    parser.add_argument("--write", action="store_true", help="put the table into the document")
    return parser.parse_args()


def _given(arguments: argparse.Namespace, *, new: bool) -> dict[str, object]:
    given: dict[str, object] = {"base_port": free_base_port(), "prometheus": False} if new else {}
    for name in ("failover", "valkey", "instances"):
        value = getattr(arguments, name)
        if value is not None and (new or name == "instances"):
            given[name] = value
    return given


def _chosen(cluster: Cluster, parts: list[str] | None) -> list[Case]:
    state = load(cluster.folder)
    known = cases(state.options if state else Options())
    unknown = set(parts or ()) - {case.part for case in known}
    if unknown:
        raise StartupError(f"There is no {unknown.pop()}: {', '.join(case.part for case in known)}.")
    return [case for case in known if not parts or case.part in parts]


async def _matrix(cluster: Cluster, chosen: list[Case], arguments: argparse.Namespace) -> list[Result]:
    results: list[Result] = []
    for case in chosen:
        for way in (Way[name.upper()] for name in arguments.ways if name != "cut" or case.has_port):
            for number in range(1, arguments.times + 1):
                started = time.monotonic()
                results.append(await run(cluster, case, way))
                one = results[-1]
                _tell(
                    f"{case.part}, {way}, {number} of {arguments.times}: lost {one.lost} of {one.acknowledged}, "
                    f"{one.wrong} wrong, {one.dead} dead, well after {one.well_seconds:.1f} s"
                    f"{' and a repair' if one.repaired else ''} ({time.monotonic() - started:.0f} s) {one.note}"
                )
                if arguments.json:
                    arguments.json.write_text(json.dumps([asdict(each) for each in results], indent=1) + "\n")
    return results


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

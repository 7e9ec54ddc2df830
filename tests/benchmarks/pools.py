"""`python -m tests.benchmarks.pools --store DIR`: whether a pool of queries gains by growing beyond its least size.

One worker without caches on a store of tests.benchmarks.bulk, which is filled if it is empty. Some clients ask quick
queries (one id, an author's notes), others slow ones (home feeds of 300 authors, mentions), as fast as they are
answered: more than the least number of connections takes at a time. In each round a relay whose pool must not grow runs
beside others whose pools may, one after the other, in every second round the other way round. Two minutes.
"""

import argparse
import asyncio
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop

from relay.loadtest.link import Link
from tests.acceptance.relay_process import RelayProcess, running
from tests.benchmarks.asker import connect, done
from tests.benchmarks.bulk import ensure, load_crowd
from tests.benchmarks.published import figures_of
from tests.benchmarks.scale.questions import even
from tests.benchmarks.scaling.platform import of_postgres

QUICK, SLOW = ("one id", "an author's notes"), ("home feed of 300 authors", "mentions")
LEAST = 5
MOST = (5, 10, 20)
WARM_SECONDS = 1.0


def relay_on(folder: Path, most: int) -> RelayProcess:
    """One worker, all of whose answers come from PostgreSQL over LEAST to `most` connections."""
    pool = {"RELAY_PRIMARY_POOL_MIN": str(LEAST), "RELAY_PRIMARY_POOL_MAX": str(most)}
    settings = {"RELAY_CACHE_LAYERS": "none", "RELAY_WINDOW_BYTES": "0", **pool}
    return RelayProcess(folder, workers=1, roles="web,migrate", settings=settings)


async def ask(url: str, shapes: Any, clients: dict[str, int], seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each answer, of quick and of slow queries, each kind by so many clients."""
    found: dict[str, list[float]] = {kind: [] for kind in clients}
    begin = perf_counter()

    async def run(kind: str, names: Sequence[str], link: Link, number: int) -> None:
        turn = 0
        while (sent := perf_counter()) - begin < seconds:
            await done(link.answered(f"{number}-{turn}", shapes[names[turn % len(names)]]()))
            found[kind].append(1e3 * (perf_counter() - sent))
            turn += 1

    links = await connect(url, sum(clients.values()))
    try:
        asking, rest = [], iter(links)
        for kind, names in (("quick", QUICK), ("slow", SLOW)):
            asking += [run(kind, names, next(rest), number) for number in range(clients[kind])]
        await asyncio.gather(*asking)
    finally:
        for link in links:
            link.close()
    return found


def one_run(folder: Path, most: int, clients: dict[str, int], seconds: float) -> dict[str, float]:
    """Figures of one relay."""
    shapes = even(load_crowd(folder), 5)
    with running(relay_on(folder, most)) as relay:
        uvloop.run(ask(relay.ws_url, shapes, clients, WARM_SECONDS))
        before = of_postgres(folder / "postgres")
        found = uvloop.run(ask(relay.ws_url, shapes, clients, seconds))
        cpu = of_postgres(folder / "postgres") - before
        used = _connections(relay)
    answers = sum(map(len, found.values()))
    figures = {f"{kind} {part}": value for kind, each in found.items() for part, value in _of(each, seconds).items()}
    return {**figures, "connections": used, "PostgreSQL ms an answer": 1e3 * cpu / answers}


def _of(latencies: Sequence[float], seconds: float) -> dict[str, float]:
    cuts = statistics.quantiles(latencies, n=20)
    return {"a second": len(latencies) / seconds, "p50 ms": cuts[9], "p95 ms": cuts[18]}


def _connections(relay: RelayProcess) -> float:
    """Connections for quick queries after the run, before the idle ones are closed."""
    return figures_of(relay).total.pools["read"].total


def main() -> int:
    """Measure, print the table: medians over the rounds."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pools", description=__doc__)
    parser.add_argument("--store", type=Path, required=True, help="data folder of the store; filled if it is empty")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each relay in a round")
    parser.add_argument("--quick", type=int, default=24, help="clients that ask quick queries")
    parser.add_argument("--slow", type=int, default=24, help="clients that ask slow ones")
    arguments = parser.parse_args()
    ensure(arguments.store, 2_000_000, lambda what: print(what, file=sys.stderr, flush=True))
    clients = {"quick": arguments.quick, "slow": arguments.slow}
    runs: dict[int, list[dict[str, float]]] = {most: [] for most in MOST}
    for number in range(arguments.rounds):
        for most in MOST[::-1] if number % 2 else MOST:
            print(f"round {number + 1} of {arguments.rounds}, at most {most}", file=sys.stderr, flush=True)
            runs[most].append(one_run(arguments.store, most, clients, arguments.seconds))
    print(f"load of the machine {os.getloadavg()[0]:.1f}; in brackets the ratio to {MOST[0]} of the same round")
    for name in runs[MOST[0]][0]:
        cells = []
        for most in MOST:
            values = [one[name] for one in runs[most]]
            ratios = [a / max(b[name], 1e-9) for a, b in zip(values, runs[MOST[0]], strict=True)]
            cells.append(f"{statistics.median(values):10,.2f} ({statistics.median(ratios):.2f})")
        print(f"{name:26}{''.join(cells)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Attacks in full size beside ordinary clients, one by one: `python -m tests.benchmarks.hostile [case ...]`.

Each case has a relay of its own with two workers. The table has, for each: the 95th percentiles of the innocents'
OK and EOSE in ms, while quiet and during the attack; their requests that failed or took more than 5 s; the longest
step of an event loop; the peak memory of the largest worker and of PostgreSQL's processes above what they had, in
MB; how long it took; what the attacker was told most. Rates are unlimited unless `--rates` is given, as for an
attacker with many addresses. `--small`: the sizes of the tests. All traffic stays on this machine.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.acceptance.relay_process import RelayProcess
from tests.hostile.cases import CASES
from tests.hostile.innocent import Waits, innocents, p95
from tests.hostile.run import EXEMPT, SETTINGS, beside, settings_of
from tests.hostile.watch import longest, steps
from tests.hostile.wire import Told

QUIET_SECONDS = 4.0
FIGURES_SECONDS = 1.5
"""A worker writes its figures once a second."""
SHOWN = 4
HEAD = (
    "| case | OK p95 quiet | attacked | ratio | EOSE p95 quiet | attacked | ratio | failed | longest step "
    "| worker +MB | PostgreSQL +MB | seconds | workers lost | the attacker was told |"
)


async def quiet(relay: RelayProcess) -> Waits:
    """The innocents alone."""
    async with innocents(relay.port) as waits:
        await asyncio.sleep(QUIET_SECONDS)
    await asyncio.sleep(FIGURES_SECONDS)
    return waits


def told(said: Told) -> str:
    """The most frequent sentences, with their counts."""
    return "; ".join(f"{count:,} {words}" for words, count in said.most_common(SHOWN)).replace("|", "/")


async def row(relay: RelayProcess, name: str, size: str) -> str:
    """Run one attack; its row of the table."""
    alone = await quiet(relay)
    before, workers = await asyncio.to_thread(steps, relay), relay.workers()
    begin = time.monotonic()
    result = await beside(relay, name, size)
    took = time.monotonic() - begin
    await asyncio.sleep(FIGURES_SECONDS)
    after = await asyncio.to_thread(steps, relay)
    cells = [name]
    for calm, attacked in ((alone.ok, result.waits.ok), (alone.req, result.waits.req)):
        first, second = p95(calm) * 1e3, p95(attacked) * 1e3
        cells += [f"{first:.1f}", f"{second:.1f}", f"{second / first:.1f}"]
    cells += [str(len(result.waits.late)), longest(before, after)]
    cells += [
        f"{result.peaks.worker - result.before.worker:.0f}",
        f"{result.peaks.backends - result.before.backends:.0f}",
    ]
    cells += [f"{took:.0f}", str(len(set(workers) - set(relay.workers()))), told(result.told)]
    for late in sorted(set(result.waits.late))[:3]:
        print(f"  {name}: an innocent client: {late}", file=sys.stderr)
    return f"| {' | '.join(cells)} |"


def measure(name: str, size: str, settings: Mapping[str, str]) -> str:
    """One case on a new relay."""
    with tempfile.TemporaryDirectory(prefix="relay-hostile-") as folder:
        relay = RelayProcess(Path(folder) / "var", workers=2, settings=settings)
        try:
            relay.start()
            return asyncio.run(row(relay, name, size))
        finally:
            relay.destroy()


def main() -> None:
    """Measure all cases, or the named ones; each row is printed when it is known."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.hostile", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help=f"of {', '.join(CASES)}; all if none")
    parser.add_argument("--small", action="store_true", help="in the size of the tests")
    parser.add_argument("--rates", action="store_true", help="with the rate limits, which are off without it")
    arguments = parser.parse_args()
    base = EXEMPT if arguments.rates else SETTINGS
    unknown = [name for name in arguments.cases if name not in CASES]
    if unknown:
        parser.error(f"there is no case named {', '.join(unknown)}")
    print(HEAD + "\n|" + "---|" * HEAD.count("| "), flush=True)
    for name in arguments.cases or CASES:
        print(measure(name, "small" if arguments.small else "full", settings_of(name, base)), flush=True)


if __name__ == "__main__":
    main()

"""`python -m tests.benchmarks.transfer [--events N] [--rounds N] [--keep FILE]`: import and export of a whole file.

The yardstick of the same run: the same lines through the verifying processes alone, one for each core, without
database. An embedded PostgreSQL of its own, commits are durable; processes and servers share the cores. The events are
signed once, by all cores; `--keep` keeps them for later runs.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from relay.protocol.limits import Limits
from relay.transfer.lines import LineReader
from relay.transfer.verifier import Settings
from relay.transfer.verifiers import Verifiers
from tests.benchmarks.event_file import CORES, rounds
from tests.benchmarks.filling import servers

PROJECT = Path(__file__).resolve().parents[2]


async def verify(path: Path) -> float:
    """Seconds in which the verifying processes alone take the file."""
    verifiers = Verifiers(Settings(Limits(), trusted=False), CORES)
    await verifiers.start()
    with path.open("rb", buffering=1_048_576) as file:
        reader = LineReader(file, Limits().max_message_length)
        await asyncio.gather(*[verifiers.verify([]) for _ in range(CORES)])  # they have started
        began = time.perf_counter()
        under_way: set[asyncio.Task[object]] = set()
        while (chunk := reader.next_chunk()) is not None:
            under_way.add(asyncio.create_task(verifiers.verify(chunk.lines)))
            if len(under_way) >= 2 * CORES:
                _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*under_way)
        seconds = time.perf_counter() - began
    await verifiers.stop()
    return seconds


def command(*words: str) -> tuple[float, str]:
    """Seconds of a command from its start to its end, and its standard output."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), *words],
        env=os.environ | {"RELAY_URL": "wss://relay.example.com"},  # no relay has noted its address in this store
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return time.perf_counter() - began, done.stdout


def one_round(path: Path, events: int, folder: Path) -> tuple[float, float, float]:
    """Events a second: verified alone, imported into an empty store, exported. Django keeps the address of `folder`."""
    shutil.rmtree(folder / "var", ignore_errors=True)
    with servers(folder / "var"):
        verified = events / asyncio.run(verify(path))
        _, said = command("import", str(path), "--quiet", "--strict")
        found = re.search(r"in ([\d.,]+) s", said)
        assert found is not None
        imported = events / float(found[1].replace(",", ""))
        seconds, _ = command("export", str(folder / "out.jsonl"), "--quiet")
        assert sum(1 for _ in (folder / "out.jsonl").open("rb")) == events
        return verified, imported, events / seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the median of each figure."""
    found = rounds("transfer", __doc__, one_round, arguments)
    verified, imported, exported = (median(figures) for figures in zip(*found, strict=True))
    ratios = [one[1] / one[0] for one in found]
    print(f"verified alone, {CORES} processes  {verified:>10,.0f} events a second")
    print(f"imported                     {imported:>10,.0f}, {median(ratios):.2f} of it", end="")
    print(f" ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"exported, start included     {exported:>10,.0f}, {exported / imported:.1f} times the import")


if __name__ == "__main__":
    main()

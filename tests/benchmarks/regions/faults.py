"""Kills a process of either side in the middle of a batch: some of its events are stored, and the sender has no answer.

The moment is the first arrival at a subscriber of the receiving region, half a round trip before the answer is with the
sender. Rule: afterwards nothing that was acknowledged is missing, no repair has run, and every cursor is at the end of
the log of the present store and epoch.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence

from relayproject.runtime.processes import living_in
from tests.acceptance.relay_process import RelayProcess
from tests.benchmarks.regions.measured import Fault
from tests.benchmarks.regions.three import EU, US, Region, Three, until
from tests.benchmarks.regions.traffic import Publisher, make, watching

EVENTS, RATE = 450, 300.0
WELL_SECONDS = 120.0
SENDER = "relayproject.runtime.pushes"

Processes = Callable[[RelayProcess], Sequence[int]]
KILLED: tuple[tuple[str, int, Processes], ...] = (
    ("sender", EU, lambda relay: relay.pids(SENDER)),
    ("receiver", US, RelayProcess.workers),
    ("broker", EU, lambda relay: [*living_in(relay.data_dir, "valkey-server")]),
    ("broker", US, lambda relay: [*living_in(relay.data_dir, "valkey-server")]),
    ("database", EU, lambda relay: [*living_in(relay.data_dir / "postgres", "postgres")]),
    ("database", US, lambda relay: [*living_in(relay.data_dir / "postgres", "postgres")]),
)
"""Part, region, and its processes. Everything is sent from EU to US, and from EU to AP."""


async def faults(three: Three, times: int, tell: Callable[[str], None]) -> list[Fault]:
    """Each of KILLED, so many times."""
    found = []
    for part, place, processes in KILLED:
        for number in range(1, times + 1):
            found.append(await _trial(three, part, three.regions[place], processes, number))
            one = found[-1]
            tell(
                f"{part} of {one.where}, {number} of {times}: {one.missing} of {one.acknowledged} missing, cursors "
                f"{'right' if one.cursors_right else 'WRONG'}, well after {one.seconds:.1f} s"
            )
    return found


async def _trial(three: Three, part: str, region: Region, processes: Processes, number: int) -> Fault:
    where = "the sending side" if region.place == EU else "the receiving side"
    source, target, repairs = three.regions[EU], three.regions[US], three.repairs()
    label = f"{part} {region.name} {number} {time.time()}"
    lanes = [make(lane, EVENTS // 3, label) for lane in ("urgent", "normal", "low")]
    publisher = Publisher(source, [event for events in zip(*lanes, strict=True) for event in events], RATE)
    async with watching(target) as watcher:
        publishing = asyncio.create_task(publisher.run(WELL_SECONDS))
        await asyncio.sleep(0.3)
        await asyncio.wait_for(watcher.next(), WELL_SECONDS)
        killed = time.monotonic()
        for pid in processes(region.relay):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    await publishing
    right = True
    try:
        await until(lambda: not source.behind(), "all cursors at the end", WELL_SECONDS)
    except TimeoutError:
        right = False
    seconds = time.monotonic() - killed
    missing = sum(len(publisher.acknowledged.keys() - other.stored()) for other in three.regions)
    return Fault(part, where, len(publisher.acknowledged), missing, right and three.repairs() == repairs, seconds)


def cases(found: Sequence[Fault]) -> Iterator[list[Fault]]:
    """The trials of each part and side."""
    for case in dict.fromkeys((one.part, one.where) for one in found):
        yield [one for one in found if (one.part, one.where) == case]

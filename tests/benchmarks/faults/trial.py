"""One fault under load: what clients were told, and when all was well for them again."""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import replace

from websockets.exceptions import WebSocketException

from relayproject.runtime.cluster.cluster import Cluster
from relayproject.runtime.cluster.status import Status
from relayproject.runtime.errors import StartupError
from tests.acceptance.client import Client as AcceptanceClient
from tests.acceptance.faults.load import stored_of
from tests.benchmarks.faults import network
from tests.benchmarks.faults.cases import Case, Way
from tests.benchmarks.faults.clients import GAP_SECONDS, Client, Ledger, Publisher, Questioner, Subscriber
from tests.benchmarks.faults.results import Result
from tests.events import secret

PUBLISHERS = QUESTIONERS = SUBSCRIBERS = 6
WARM_SECONDS = 2.0
CALM_SECONDS = 3.0
"""All is well when every client has gone on for so long without a gap."""

REPAIRED_SECONDS = 90.0
ARRIVAL_SECONDS = 15.0
_authors = itertools.count(int(time.time()) * 1_000)


class NotMade(Exception):
    """A trial came to no result."""


class Load:
    """Clients of one trial, with authors of their own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ledger = Ledger()
        self.publishers = [Publisher(url, secret(next(_authors)), self.ledger) for _ in range(PUBLISHERS)]
        keys = [publisher.pubkey for publisher in self.publishers]
        self.questioners = [Questioner(url, keys[at % len(keys)], self.ledger) for at in range(QUESTIONERS)]
        self.subscribers = [Subscriber(url, keys) for _ in range(SUBSCRIBERS)]

    @property
    def everyone(self) -> list[Client]:
        return [*self.publishers, *self.questioners, *self.subscribers]

    def is_well(self, since: float) -> bool:
        """Whether every client has gone on for CALM_SECONDS, or since then, without a gap."""
        now = time.monotonic()
        calm = max(since, now - CALM_SECONDS)
        return now >= since + CALM_SECONDS and all(client.is_well_since(calm) for client in self.everyone)

    async def stop(self) -> None:
        await asyncio.gather(*(client.stop() for client in self.everyone))


async def run(cluster: Cluster, case: Case, way: Way, kind: str) -> Result:
    """Take the part away, let the platform help itself, repair it, and compare the ledgers.

    Raises NotMade if clients are not well before the fault, the part is not there, or the end cannot be counted.
    """
    try:
        return await _run(cluster, case, way, kind)
    except (StartupError, WebSocketException, OSError, AssertionError) as error:
        raise NotMade(str(error) or type(error).__name__) from error
    finally:
        network.mend()


async def _run(cluster: Cluster, case: Case, way: Way, kind: str) -> Result:
    await asyncio.to_thread(cluster.up, {})
    state = await asyncio.to_thread(cluster.status)
    names = case.names(state.parts)
    load = Load(state.url)
    try:
        if not await _wait(load, time.monotonic(), REPAIRED_SECONDS):
            raise NotMade("clients were not well before the fault")
        await asyncio.sleep(WARM_SECONDS)
        fault = time.monotonic()
        await asyncio.to_thread(_TAKE_AWAY[way], cluster, state, names)
        await asyncio.sleep(case.least_seconds)
        alone = await _wait(load, fault, case.hold_seconds - case.least_seconds)
        note = await _repair(cluster)
        well = await _wait(load, time.monotonic(), REPAIRED_SECONDS)
        note = note or ("" if well else "not well again")
        result = Result(kind, case.part, str(way), repaired=not alone, note=note)
        return await _settle(load, result, fault)
    finally:
        await load.stop()


def _cut(_cluster: Cluster, state: Status, names: list[str]) -> None:
    network.cut(int(row.address.rpartition(":")[2]) for row in state.parts if row.name in names)


_TAKE_AWAY: dict[Way, Callable[[Cluster, Status, list[str]], None]] = {
    Way.KILL: lambda cluster, _, names: cluster.kill(names),
    Way.PAUSE: lambda cluster, _, names: cluster.pause(names),
    Way.CUT: _cut,
}


async def _wait(load: Load, since: float, seconds: float) -> bool:
    """Wait until all clients are well; False after `seconds`."""
    ends = time.monotonic() + max(seconds, CALM_SECONDS + GAP_SECONDS)
    while time.monotonic() < ends:
        await asyncio.sleep(0.1)
        if load.is_well(since):
            return True
    return False


async def _repair(cluster: Cluster) -> str:
    """Start and resume all that is down or paused; what failed."""
    network.mend()
    try:
        await asyncio.to_thread(cluster.up, {})
    except StartupError as error:
        return str(error)
    return ""


async def _settle(load: Load, result: Result, fault: float) -> Result:
    """Stop the publishers, let everything arrive, and count."""
    await asyncio.gather(*(publisher.stop() for publisher in load.publishers))
    acknowledged = load.ledger.all()
    await _until(lambda: all(acknowledged <= one.received for one in load.subscribers))
    stopped = time.monotonic()
    await _until(lambda: all(one.successes[-1] > stopped for one in load.questioners))
    watching: list[Client] = [*load.publishers, *load.questioners]
    ends = [end for client in watching for _, end in client.gaps if end > fault]
    wrong = [text for one in load.questioners for text in one.wrong]
    return replace(
        result,
        acknowledged=len(acknowledged),
        lost=len(acknowledged - await _stored(load.url, sorted(acknowledged))),
        wrong=len(wrong),
        dead=sum(one.is_open and not acknowledged <= one.received for one in load.subscribers),
        undelivered=sum(len(acknowledged - one.received) for one in load.subscribers),
        twice=sum(one.twice for one in load.subscribers),
        publishing_gap_seconds=max(client.longest_wait(fault) for client in load.publishers),
        asking_gap_seconds=max(client.longest_wait(fault) for client in load.questioners),
        well_seconds=max(ends, default=fault) - fault,
        note=result.note or "".join(wrong[:1]),
    )


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for it, as long as an arrival may take."""
    ends = time.monotonic() + ARRIVAL_SECONDS
    while time.monotonic() < ends and not condition():
        await asyncio.sleep(0.1)


async def _stored(url: str, ids: list[str]) -> set[str]:
    async with AcceptanceClient(url) as client:
        return await stored_of(client, ids)

"""One fault under load: what clients were told, and when all was well for them again."""

import asyncio
import itertools
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import psycopg
from websockets.exceptions import WebSocketException

from relayproject.runtime.cluster.cluster import Cluster
from relayproject.runtime.cluster.options import Options
from relayproject.runtime.errors import StartupError
from tests.acceptance.client import Client as AcceptanceClient
from tests.acceptance.faults.load import stored_of
from tests.benchmarks.faults.cases import Case, Way
from tests.benchmarks.faults.clients import GAP_SECONDS, Client, Ledger, Publisher, Questioner, Subscriber
from tests.benchmarks.faults.network import Network
from tests.benchmarks.faults.results import Result, kind_of
from tests.events import secret

PUBLISHERS = QUESTIONERS = SUBSCRIBERS = 6
WARM_SECONDS = 2.0
CALM_SECONDS = 3.0
"""All is well when every client has gone on for so long without a gap."""

REPAIRED_SECONDS = 90.0
ARRIVAL_SECONDS = 15.0
NOT_UP = (StartupError, psycopg.Error, subprocess.SubprocessError, OSError)
"""What a start of the cluster raises, also when a part goes away meanwhile."""

_authors = itertools.count(int(time.time()) * 1_000)


class NotMade(Exception):
    """A trial came to no result."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The cluster that is tried, and its network; None if no fault cuts it."""

    cluster: Cluster
    options: Options
    network: Network | None

    def take_away(self, way: Way, ones: Sequence[str], others: Sequence[str], everyone: Sequence[str]) -> None:
        """Do to these parts what the way says; raises StartupError."""
        if way is Way.KILL:
            self.cluster.kill(ones)
        elif way is Way.PAUSE:
            self.cluster.pause(ones)
        elif self.network is None:
            raise StartupError("The network was not prepared for a cut.")
        elif way is Way.CUT:
            self.network.isolate(ones, everyone, self.options)
        else:
            self.network.cut(ones, others, self.options)

    def mend(self) -> None:
        """End all cuts."""
        if self.network is not None:
            self.network.mend()


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


async def run(bench: Bench, case: Case, way: Way) -> Result:
    """Take the part away, let the platform help itself, repair it, and compare the ledgers.

    Raises NotMade if clients are not well before the fault, the part is not there, or the end cannot be counted.
    """
    try:
        return await _run(bench, case, way)
    except (*NOT_UP, WebSocketException, AssertionError) as error:
        raise NotMade(str(error) or type(error).__name__) from error
    finally:
        bench.mend()


async def _run(bench: Bench, case: Case, way: Way) -> Result:
    state = await asyncio.to_thread(bench.cluster.up, {})
    ones, others = case.names(state.parts), case.others(state.parts)
    everyone = [row.name for row in state.parts if row.address]
    load = Load(state.url)
    try:
        if not await _wait(load, time.monotonic(), REPAIRED_SECONDS):
            raise NotMade("clients were not well before the fault")
        await asyncio.sleep(WARM_SECONDS)
        fault = time.monotonic()
        await asyncio.to_thread(bench.take_away, way, ones, others, everyone)
        await asyncio.sleep(case.least_seconds)
        alone = await _wait(load, fault, case.hold_seconds - case.least_seconds)
        note = await _repair(bench)
        well = await _wait(load, time.monotonic(), REPAIRED_SECONDS)
        note = note or ("" if well else "not well again")
        result = Result(kind_of(bench.options), case.part, str(way), repaired=not alone, note=note)
        return await _settle(load, result, fault)
    finally:
        await load.stop()


async def _wait(load: Load, since: float, seconds: float) -> bool:
    """Wait until all clients are well; False after `seconds`."""
    ends = time.monotonic() + max(seconds, CALM_SECONDS + GAP_SECONDS)
    while time.monotonic() < ends:
        await asyncio.sleep(0.1)
        if load.is_well(since):
            return True
    return False


async def _repair(bench: Bench) -> str:
    """Start and resume all that is down or paused, end all cuts; what failed."""
    bench.mend()
    try:
        await asyncio.to_thread(bench.cluster.up, {})
    except NOT_UP as error:
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

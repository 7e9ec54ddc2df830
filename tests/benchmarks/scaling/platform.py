"""A platform on this machine, each class in processes of its own: instances of one worker, and their servers."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from relay.subscriptions.bus_line import group_channel
from relayproject.runtime.processes import living_in
from tests.acceptance.relay_process import RelayProcess, all_running
from tests.benchmarks.bus_cost import Subscriber
from tests.benchmarks.scaling.model import Part, Work
from tests.integration.caching.valkeys import nodes
from tests.ports import free_ports
from tests.replica_server import Standby, standbys

SETTLED_SECONDS = 1.5
"""After which a worker's published counters say what happened until now."""

PING_SECONDS = 5
"""More often than in life, so that pings of few connections can be measured."""

SETTINGS = {"RELAY_PING_SECONDS": str(PING_SECONDS), "RELAY_WINDOW_BYTES": str(4 * 2**20)}
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds of CPU and work so far, by worker and of the servers. wal: bytes and full pages so far."""

    workers: Mapping[int, tuple[float, Work]]
    servers: Mapping[Part, float]
    wal: tuple[int, int]


@dataclass
class Platform:
    """The servers of a run and its relays. `own`: the folder of primary and cache."""

    own: Path
    replica: Standby
    bus: Path
    relays: Sequence[RelayProcess] = ()

    def settings(self) -> dict[str, str]:
        """Of a relay: addresses of all servers."""
        shared = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")}
        bus = f"redis://127.0.0.1:{self.bus.name}"
        return {**SETTINGS, **shared, "BUS_URL": bus, "REPLICA_URLS": self.replica.server.url}

    @contextlib.contextmanager
    def running(self, count: int) -> Iterator[None]:
        """So many instances of one worker."""
        self.relays = [
            RelayProcess(self.own / f"instance-{number}", workers=1, roles="web", settings=self.settings())
            for number in range(count)
        ]
        try:
            with all_running(*self.relays):
                yield
        finally:
            self.relays = ()

    async def read(self, feeds: Mapping[int, int]) -> Reading:
        """What has happened until now. `feeds`: those of the queries, by process of a worker, that were home feeds."""
        from relay.services.figures import read_figures_now

        await asyncio.sleep(SETTLED_SECONDS)
        found = await asyncio.to_thread(read_figures_now, os.environ["REDIS_URL"])
        by_pid = {figures.pid: figures for figures in found.workers}
        stored = sum(by_pid[pid].events_stored for pid in self.pids)
        workers = {pid: (spent([pid]), work_of(by_pid[pid], stored, feeds.get(pid, 0))) for pid in self.pids}
        return Reading(workers, self.servers(), await asyncio.to_thread(wal))

    @contextlib.asynccontextmanager
    async def readers(self, count: int) -> AsyncIterator[None]:
        """So many connections that take all messages of the bus and do nothing with them, as in other workers."""
        from relay.storage.store import current_store

        channel = group_channel(f"relay.{(await asyncio.to_thread(current_store)).identity}")
        command, loop = f"SUBSCRIBE {channel}\r\n".encode(), asyncio.get_running_loop()
        make, port = partial(Subscriber, command), int(self.bus.name)
        made = [await loop.create_connection(make, "127.0.0.1", port) for _ in range(count)]
        try:
            yield
        finally:
            for transport, _ in made:
                transport.close()

    @property
    def pids(self) -> list[int]:
        """One worker of each instance."""
        return [relay.workers()[0] for relay in self.relays]

    def servers(self) -> dict[Part, float]:
        return {
            Part.PRIMARY: of_postgres(self.own / "postgres"),
            Part.REPLICA: of_postgres(self.replica.server.data),
            Part.CACHE: spent(list(living_in(self.own, "valkey-server"))),
            Part.BUS: spent(list(living_in(self.bus, "valkey-server"))),
        }


@contextlib.contextmanager
def platform(folder: Path) -> Iterator[Platform]:
    """The servers of a store that stands in `folder`, whose primary and cache run; without an instance yet."""
    (folder / "standby").mkdir()
    with standbys(folder / "standby", 1) as (replica,), nodes(folder / "bus", free_ports(1)) as (bus,):
        yield Platform(folder, replica, folder / "bus" / str(bus.port))


def spent(pids: Sequence[int]) -> float:
    """Seconds of CPU of all threads of the processes."""
    total = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(thread.read_text().split()[0])
    return total / 1e9


def of_postgres(data: Path) -> float:
    """Seconds of CPU of a server, of backends that have ended too."""
    pids = list(living_in(data, "postgres"))
    postmaster = int((data / "postmaster.pid").read_text().split()[0])
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()
        return spent(pids) + sum(map(int, fields[13:15])) / TICKS
    return spent(pids)


def work_of(figures: Any, stored: int, feeds: int) -> Work:
    """A worker's work so far. `stored`: events of all workers."""
    counts, histograms = figures.counts, figures.histograms
    memory, shared, database = [_count(histograms, source) for source in ("l1", "l2", "none")]
    return Work(
        events=figures.events_stored,
        commits=counts["write_batches"],
        messages=counts["bus_received"],
        changes=stored - figures.events_stored,
        deliveries=counts["deliveries"],
        memory=memory,
        database=shared + database - feeds,
        feeds=feeds,
        commands=counts["shared_commands"],
    )


def _count(histograms: Mapping[str, Any], source: str) -> int:
    found = histograms.get(f"query/req/{source}")
    return found.count if found else 0


def wal() -> tuple[int, int]:
    """Bytes and images of full pages that the primary has written to its WAL."""
    from relay.storage.database import conninfo

    with psycopg.connect(conninfo(), autocommit=True) as database:
        row = database.execute("SELECT wal_bytes::bigint, wal_fpi FROM pg_stat_wal").fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

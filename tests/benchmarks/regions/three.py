"""Three whole regions, each in a network of its own, that replicate to each other; repairs run when asked for alone.

Their databases are reached by sockets in their folders, everything else only from within their networks.
"""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import psycopg

from relayproject.runtime.processes import bound_command
from tests.acceptance.relay_process import PROJECT, RelayProcess, all_running, clean_environment
from tests.benchmarks.regions.wires import Wires
from tests.namespaces import Namespace

NAMES = ("eu", "us", "ap")
EU, US, AP = range(3)
ROUND_TRIPS_MS = {frozenset({EU, US}): 40, frozenset({EU, AP}): 80, frozenset({US, AP}): 160}
PAIRS = tuple(sorted(permutations(range(3), 2), key=lambda pair: (ROUND_TRIPS_MS[frozenset(pair)], pair)))
LANES = 6
"""Three for each of a region's two peers."""
PORT = 8_080
CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")
ALLOWED = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
SECRET = "the secret of the three regions: 0123456789abcdefghi"
NO_REPAIRS = "UPDATE django_celery_beat_periodictask SET enabled = false WHERE name LIKE 'reconcile-%%'"
TAKE_LEASES = """
    UPDATE replication_peerlane SET holder = 'benchmark', lease_until = now() + interval '1 day'
    WHERE peer_id NOT IN (SELECT origin FROM replication_region WHERE name = ANY(%s))
"""
END_LEASES = """
    UPDATE replication_peerlane SET holder = '', lease_until = NULL
    WHERE holder = 'benchmark' AND peer_id IN (SELECT origin FROM replication_region WHERE name = ANY(%s))
"""
SENDERS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%%relay push%%'"
BEHIND = """
    SELECT r.name, l.lane, relay_position() - l.position
    FROM replication_peerlane AS l JOIN replication_region AS r ON r.origin = l.peer_id, relay_store AS s
    WHERE (l.position, l.identity, l.epoch) IS DISTINCT FROM (relay_position(), s.identity, s.epoch)
"""
SENDING = "SELECT count(*) FROM replication_peerlane WHERE lease_until > now() AND holder <> 'benchmark'"
COMMAND_SECONDS = 900.0
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Region:
    """A relay, and the network that it is in."""

    place: int
    namespace: Namespace
    relay: RelayProcess

    @property
    def name(self) -> str:
        """The name that its peers know."""
        return NAMES[self.place]

    def dial(self) -> socket.socket:
        """A connection to the relay from within its network. Raises OSError."""
        return self.namespace.call(lambda: socket.create_connection(("127.0.0.1", PORT), 5.0))

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command of manage.py on its data folder, in its network."""
        return subprocess.Popen(
            bound_command(self.namespace.command(sys.executable, str(PROJECT / "manage.py"), *words)),
            env=clean_environment({"RELAY_DATA_DIR": str(self.relay.data_dir)}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )

    async def run(self, *words: str) -> str:
        """Standard output of a command that must succeed."""
        process = self.start(*words)  # in this thread: the kernel ends it with the thread that started it
        try:
            out, said = await asyncio.to_thread(process.communicate, timeout=COMMAND_SECONDS)
        finally:
            process.kill()
        if process.returncode:
            raise RuntimeError(f"{words[0]} in {self.name}: {said}")
        return out

    def rows(self, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """What a statement returns. Raises psycopg.Error, also while the database is away."""
        with psycopg.connect(self.relay.services()["DATABASE_URL"], connect_timeout=5) as database:
            cursor = database.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def behind(self) -> list[tuple[str, str, int]]:
        """Peer, lane and entries of the log that are not sent, of cursors that are not at its end."""
        found = self.rows(BEHIND)
        return [(name, lane, number) for name, lane, number in found]

    def is_sending(self) -> bool:
        """Whether all lanes of all peers have a sender."""
        return bool(self.rows(SENDING) == [(LANES,)])

    def stored(self) -> set[str]:
        """The ids of all events that it has."""
        return {row[0] for row in self.rows("SELECT encode(id, 'hex') FROM relay_event")}

    async def send_to(self, *peers: str) -> None:
        """Send to these peers, and to no other, and still take what they send; returns when no sender is left over.

        As another sender would: by taking the leases of their lanes. A peer that is not enabled is not heard either.
        """
        self.rows(TAKE_LEASES, (list(peers),))
        self.rows(END_LEASES, (list(peers),))
        await until(lambda: self.rows(SENDERS)[0][0] <= len(peers), f"the end of sending from {self.name}")


@dataclass(frozen=True, slots=True)
class Three:
    """The regions, in the order of NAMES, and their wires."""

    regions: tuple[Region, ...]
    wires: Wires

    async def settle(self, seconds: float = 300.0) -> None:
        """Have each region send all its events to all others, and wait until that is done."""
        for region in self.regions:
            await region.send_to(*NAMES)
        await until(lambda: all(map(Region.is_sending, self.regions)), "senders of all lanes")
        await until(lambda: not any(map(Region.behind, self.regions)), "all cursors at the end", seconds)

    def repairs(self) -> int:
        """How many runs of anti-entropy there were, other than those that were asked for by hand."""
        return sum(region.rows("SELECT count(*) FROM replication_repair")[0][0] for region in self.regions)


async def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for what the databases say; a database that is away says nothing. Raises TimeoutError with `what`."""
    ends = time.monotonic() + seconds
    while True:
        with contextlib.suppress(psycopg.Error, OSError):
            if await asyncio.to_thread(condition):
                return
        if time.monotonic() > ends:
            raise TimeoutError(f"{what} did not come within {seconds:g} s")
        await asyncio.sleep(POLL_SECONDS)


@contextlib.contextmanager
def three_regions(folder: Path, congestion: str) -> Iterator[Three]:
    """Start them, with this congestion control of TCP, and leave nothing of them. Raises NotAllowed."""
    with contextlib.ExitStack() as stack:
        spaces = [Namespace() for _ in NAMES]
        for space in spaces:
            stack.callback(space.close)
            space.call(lambda: CONGESTION.write_text(congestion))
        wires = Wires(spaces, ROUND_TRIPS_MS)
        stack.callback(wires.close)
        prepared = _prepared(folder / "prepared")
        relays = [_relay(place, spaces[place], wires, prepared, folder / NAMES[place]) for place in range(3)]
        stack.enter_context(all_running(*relays))
        yield Three(tuple(map(Region, range(3), spaces, relays)), wires)


def _prepared(folder: Path) -> Path:
    """A data folder that is migrated, without the jobs that repair."""
    relay = RelayProcess(folder, roles="web,migrate")
    with all_running(relay):
        region = Region(EU, Namespace(), relay)
        jobs = len(region.rows(f"{NO_REPAIRS} RETURNING name"))
        region.namespace.close()
        if not jobs:
            raise RuntimeError("there are no jobs that repair: the schedule has changed")
        relay.stop()
    return folder


def _relay(place: int, namespace: Namespace, wires: Wires, prepared: Path, folder: Path) -> RelayProcess:
    shutil.copytree(prepared, folder, symlinks=True)
    others = [other for other in range(3) if other != place]
    settings = {
        "RELAY_HOST": "0.0.0.0",
        "RELAY_PORT": str(PORT),
        "RELAY_REGION": NAMES[place],
        "RELAY_PEERS": ",".join(
            f"{NAMES[other]}=http://{wires.address(other, place)}:{PORT}?secret={quote_plus(SECRET)}"
            for other in others
        ),
        "RELAY_MAX_LIMIT": "10000",
        "RELAY_RATE_AUTHOR": "0",
    }
    command = namespace.command(sys.executable, str(PROJECT / "manage.py"), "serve")
    return RelayProcess(folder, settings=settings, command=command)

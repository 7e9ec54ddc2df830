"""The primary lost and its synchronous standby promoted: nothing acknowledged is lost, and no client hangs."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from relayproject.runtime.postgres import PORT, USER
from relayproject.runtime.processes import living_in
from tests.acceptance.client import Client
from tests.acceptance.faults.load import Ledger, new_author, stored_of
from tests.acceptance.faults.outages import Way
from tests.acceptance.faults.readiness import say_degraded
from tests.acceptance.relay_process import RelayProcess, running, wait_for
from tests.integration.storage.servers import Machine, Machines, machines

PROMOTED_SECONDS = 2.0
"""The promise: publishing goes on so long after the promotion."""

HANG_SECONDS = 5.0
"""The promise: no client waits longer for an answer."""

MACHINE_SECONDS = 1.0
"""Allowed beyond both on a machine that runs other tests."""

END_OF_RELAYS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'relay %'"


class Cluster:
    """A primary and a synchronous standby."""

    def __init__(self, made: Machines, cluster: Path) -> None:
        self.primary = made.copy_of(cluster)
        self.primary.start()
        self.standby = made.keep(self.primary.standby(made.place()))
        self._is_lost = False
        self._replicate()

    def _replicate(self) -> None:
        self.standby.start_as_standby()
        with self.primary.connect() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            wait_for(
                lambda: connection.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'").fetchone(),
                "a synchronous standby",
            )

    @property
    def url(self) -> str:
        """Both hosts, as an operator writes them."""
        hosts = ",".join(str(machine.server.sockets) for machine in (self.primary, self.standby))
        return f"postgresql://{USER}@/relay?host={quote(hosts, safe=',')}&port={PORT},{PORT}"

    def lose_primary(self, way: Way) -> None:
        self._is_lost = True
        for pid in living_in(self.primary.server.data, "postgres"):
            os.kill(pid, signal.SIGKILL if way == "gone" else signal.SIGSTOP)

    def promote(self) -> None:
        """Returns when the standby accepts writes."""
        with self.standby.connect() as connection:
            connection.execute("SELECT pg_promote()")

    def go_on(self) -> None:
        """Let a primary that hangs go on."""
        self._is_lost = False
        for pid in living_in(self.primary.server.data, "postgres"):
            os.kill(pid, signal.SIGCONT)

    def mend(self) -> None:
        """In the place of a primary that was lost, a standby of the one that was promoted, as an operator would."""
        if self._is_lost:
            self.leave()
            self.primary.stop()
            self.primary, self.standby = self.standby, self.primary
            self.standby.follow(self.primary)
            self._replicate()
            self._is_lost = False

    def leave(self) -> None:
        for pid in living_in(self.primary.server.data, "postgres"):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def hosts(migrated_cluster: Path) -> Iterator[Cluster]:
    with machines() as made:
        found = Cluster(made, migrated_cluster)
        yield found
        found.leave()


@pytest.fixture(scope="module")
def failing_relay(hosts: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """Two workers with the default budgets on the two hosts. It outlives them all."""
    settings = {"DATABASE_URL": hosts.url, "SECRET_KEY": "a key for tests alone, long enough: 0123456789abcdef"}
    folder = tmp_path_factory.mktemp("failover") / "var"
    with running(RelayProcess(folder, workers=2, roles="web", settings=settings)) as relay:
        yield relay


@pytest.fixture
def cluster(hosts: Cluster) -> Cluster:
    """The two hosts, both of them well."""
    hosts.mend()
    return hosts


@pytest.mark.parametrize("way", ["gone", "hangs"])
async def test_a_promoted_standby_has_all_that_was_acknowledged_and_clients_publish_on(
    cluster: Cluster, failing_relay: RelayProcess, way: Way
) -> None:
    ledgers = [Ledger(failing_relay.ws_url, new_author()) for _ in range(4)]
    for ledger in ledgers:
        await ledger.acknowledged_more(30, 20.0)
    before = cluster.primary.store()

    cluster.lose_primary(way)
    for ledger in ledgers:
        await ledger.refused_more(HANG_SECONDS + MACHINE_SECONDS)
    await say_degraded(failing_relay, True, HANG_SECONDS, "the primary")
    async with Client(failing_relay.ws_url) as client:
        found = await client.query({"authors": [ledgers[0].pubkey], "limit": 5})
        assert (found.closed, len(found.ids)) == (None, 5), "memory answers"

    cluster.promote()
    for ledger in ledgers:
        await ledger.acknowledged_more(1, PROMOTED_SECONDS + MACHINE_SECONDS)
    for ledger in ledgers:
        await ledger.acknowledged_more(20, 10.0)
        await ledger.finish()

    after = cluster.standby.store()
    assert (after.identity, after.epoch) == (before.identity, before.epoch + 1)
    assert all(text.startswith("error: ") for ledger in ledgers for text in ledger.refused)
    assert max(ledger.longest_wait_seconds for ledger in ledgers) < HANG_SECONDS + MACHINE_SECONDS
    acknowledged = [event_id for ledger in ledgers for event_id in ledger.acknowledged]
    async with Client(failing_relay.ws_url) as client:
        assert await stored_of(client, acknowledged) == set(acknowledged)
    with cluster.standby.connect() as connection:
        rows = connection.execute("SELECT id FROM relay_event").fetchall()
        seqs = connection.execute("SELECT seq FROM relay_change ORDER BY seq").fetchall()
    assert set(acknowledged) <= {row[0].hex() for row in rows}
    assert [seq for (seq,) in seqs] == list(range(1, len(seqs) + 1)), "the log goes on without a gap"


async def test_a_primary_that_was_frozen_and_goes_on_is_used_again_without_a_restart(
    cluster: Cluster, failing_relay: RelayProcess
) -> None:
    ledger = Ledger(failing_relay.ws_url, new_author())
    await ledger.acknowledged_more(30, 20.0)
    cluster.lose_primary("hangs")
    await ledger.refused_more(HANG_SECONDS + MACHINE_SECONDS)
    cluster.go_on()
    await ledger.acknowledged_more(30, 5.0)
    await ledger.finish()
    assert ledger.longest_wait_seconds < HANG_SECONDS + MACHINE_SECONDS
    async with Client(failing_relay.ws_url) as client:
        assert await stored_of(client, ledger.acknowledged) == set(ledger.acknowledged)


async def test_a_server_without_room_for_connections_refuses_clients_at_once_and_is_used_again(
    cluster: Cluster, failing_relay: RelayProcess
) -> None:
    ledger = Ledger(failing_relay.ws_url, new_author())
    await ledger.acknowledged_more(10, 20.0)
    over = threading.Event()
    taking = asyncio.create_task(asyncio.to_thread(_take_all, cluster.primary, over))
    try:
        await ledger.refused_more(2 * HANG_SECONDS)
        await ledger.refused_more(HANG_SECONDS)
        await say_degraded(failing_relay, True, 2 * HANG_SECONDS, "the primary")
    finally:
        over.set()
        await taking
    await ledger.acknowledged_more(10, 5.0)
    await ledger.finish()
    assert ledger.longest_wait_seconds < HANG_SECONDS


def _take_all(machine: Machine, over: threading.Event) -> None:
    """Hold every place, and take those that a relay gets meanwhile, until it is over."""
    taken: list[psycopg.Connection[tuple[object, ...]]] = []
    with machine.connect() as ending:
        while not over.is_set():
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    taken.append(machine.connect())
            ending.execute(END_OF_RELAYS)
            over.wait(0.02)
    for connection in taken:
        connection.close()

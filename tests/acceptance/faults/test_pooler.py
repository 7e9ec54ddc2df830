"""The whole relay behind PgBouncer in transaction mode, where each transaction may find another server connection."""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.client import Client
from tests.acceptance.faults.load import Ledger, Listener, new_author, stored_of, until
from tests.acceptance.pooler import Pooler, needs_pgbouncer
from tests.acceptance.relay_process import PROJECT, RelayProcess, clean_environment, running
from tests.events import pubkey_of, sign_event
from tests.integration.storage.servers import Machine, Machines, machines

pytestmark = needs_pgbouncer

SERVER_CONNECTIONS = 4
"""Fewer than the relay has to the pooler: they change hands at every transaction."""

SECRET = "a key for tests alone, long enough: 0123456789abcdef"


@pytest.fixture(scope="module")
def made() -> Iterator[Machines]:
    with machines() as found:
        yield found


@pytest.fixture(scope="module")
def primary(made: Machines, migrated_cluster: Path) -> Machine:
    machine = made.copy_of(migrated_cluster)
    machine.start()
    return machine


@pytest.fixture(scope="module")
def pooler(primary: Machine) -> Iterator[Pooler]:
    with tempfile.TemporaryDirectory(prefix="relay-pooler-") as folder:
        Path(folder).chmod(0o755)
        found = Pooler(Path(folder), primary.server.sockets, SERVER_CONNECTIONS)
        try:
            found.start()
            yield found
        finally:
            found.stop()


@pytest.fixture(scope="module")
def pooled_relay(pooler: Pooler, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """Two workers and the jobs, also prepared through the pooler; PostgreSQL answers everything."""
    settings = {
        "DATABASE_URL": pooler.url,
        "SECRET_KEY": SECRET,
        "RELAY_DATABASE_POOLER": "transaction",
        "RELAY_CACHE_LAYERS": "none",
    }
    with running(RelayProcess(tmp_path_factory.mktemp("pooled") / "var", workers=2, settings=settings)) as relay:
        yield relay


async def test_events_are_stored_answered_delivered_replaced_and_deleted_through_a_transaction_pooler(
    pooled_relay: RelayProcess,
) -> None:
    author, now = new_author(), int(time.time())
    async with Client(pooled_relay.ws_url) as client, Client(pooled_relay.ws_url) as listening:
        listener = Listener(listening)
        await listener.start({"authors": [pubkey_of(author)]})
        notes = [sign_event(author, content=f"note {number}", created_at=now - number) for number in range(30)]
        profiles = [sign_event(author, kind=0, content=f"{number}", created_at=now - 9 + number) for number in range(2)]
        for event in (*notes, *profiles):
            assert (await client.publish(event)).accepted
        deletion = sign_event(author, kind=5, tags=[["e", notes[0]["id"]]], created_at=now)
        assert (await client.publish(deletion)).accepted

        await listener.has([event["id"] for event in (*notes, *profiles, deletion)])
        await listener.stop()
        found = await client.query({"authors": [pubkey_of(author)]})
        assert set(found.ids) == {event["id"] for event in (*notes[1:], profiles[1], deletion)}


async def test_many_clients_at_once_get_their_own_answers_over_four_server_connections(
    pooled_relay: RelayProcess, primary: Machine
) -> None:
    authors = [new_author() for _ in range(8)]
    ledgers = [Ledger(pooled_relay.ws_url, author) for author in authors]
    for ledger in ledgers:
        await ledger.acknowledged_more(40, 30.0)

    async def ask(ledger: Ledger) -> None:
        async with Client(pooled_relay.ws_url) as client:
            for _ in range(30):
                found = await client.query({"authors": [ledger.pubkey], "limit": 10})
                assert found.closed is None
                assert {event["pubkey"] for event in found.events} == {ledger.pubkey}

    await asyncio.gather(*(ask(ledger) for ledger in ledgers))
    await asyncio.gather(*(ledger.finish() for ledger in ledgers))
    assert [text for ledger in ledgers for text in ledger.refused] == []
    async with Client(pooled_relay.ws_url) as client:
        for ledger in ledgers:
            assert await stored_of(client, ledger.acknowledged) == set(ledger.acknowledged)
    with primary.connect() as connection:
        (count,) = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE client_port = -1").fetchone() or (0,)
        assert count <= SERVER_CONNECTIONS + 1


async def test_no_setting_of_a_transaction_is_left_to_the_next_one(pooled_relay: RelayProcess, pooler: Pooler) -> None:
    async with Client(pooled_relay.ws_url) as client:
        assert (await client.query({"kinds": [1], "limit": 1})).closed is None
    names = ("statement_timeout", "enable_seqscan", "plan_cache_mode", "transaction_read_only")
    with psycopg.connect(pooler.url, autocommit=True, prepare_threshold=None) as connection:
        for _ in range(2 * SERVER_CONNECTIONS):
            found = [connection.execute(f"SHOW {name}").fetchone() for name in names]
            assert found == [("0",), ("on",), ("auto",), ("off",)]


async def test_the_jobs_run_and_one_beat_keeps_the_schedule(pooled_relay: RelayProcess, primary: Machine) -> None:
    with primary.connect() as connection:
        await until(lambda: connection.execute("SELECT 1 FROM analytics_job_run LIMIT 1").fetchone(), "a job", 30.0)
        held = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 2")
        assert held.fetchone() == (1,)


async def test_the_store_is_divided_through_the_pooler_while_clients_publish(
    pooled_relay: RelayProcess, pooler: Pooler, primary: Machine
) -> None:
    environment = clean_environment(
        {"DATABASE_URL": pooler.url, "SECRET_KEY": SECRET, "RELAY_DATABASE_POOLER": "transaction"}
    )
    command = [sys.executable, str(PROJECT / "manage.py"), "partitions"]
    ledger = Ledger(pooled_relay.ws_url, new_author())
    await ledger.acknowledged_more(20, 20.0)
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    await ledger.acknowledged_more(20, 20.0)
    await ledger.finish()

    assert ledger.refused == []
    with primary.connect() as connection:
        assert connection.execute("SELECT relay_is_partitioned()").fetchone() == (True,)
    async with Client(pooled_relay.ws_url) as client:
        assert await stored_of(client, ledger.acknowledged) == set(ledger.acknowledged)


async def test_a_batch_that_the_pooler_leads_to_another_store_is_not_acknowledged(
    pooled_relay: RelayProcess, pooler: Pooler, primary: Machine, made: Machines
) -> None:
    """The connections to the pooler stay; the promoted copy is another epoch, which the relay must begin first."""
    standby = made.keep(primary.standby(made.place()))
    standby.start_as_standby()
    ledger = Ledger(pooled_relay.ws_url, new_author())
    await ledger.acknowledged_more(20, 20.0)
    with primary.connect() as here, standby.connect() as there:
        here.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        here.execute("SELECT pg_reload_conf()")
        await ledger.refused_more(10.0)
        row = here.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert row is not None
        caught_up = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        await until(lambda: there.execute(caught_up, row).fetchone() == (True,), "the standby to catch up")
        there.execute("SELECT pg_promote()")
    epoch = primary.store().epoch
    pooler.lead_to(standby.server.sockets)
    await ledger.acknowledged_more(20, 20.0)
    await ledger.finish()
    assert standby.store().epoch == epoch + 1
    async with Client(pooled_relay.ws_url) as client:
        assert await stored_of(client, ledger.acknowledged) == set(ledger.acknowledged)
    with standby.connect() as connection:
        seqs = connection.execute("SELECT seq FROM relay_change ORDER BY seq").fetchall()
    assert [seq for (seq,) in seqs] == list(range(1, len(seqs) + 1))

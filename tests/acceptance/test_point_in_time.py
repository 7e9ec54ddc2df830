"""A backup with its write-ahead log, recovered to a point in time under a running relay, as the document says it."""

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from relayproject.runtime.run_as import choose_run_as, chown_tree
from tests.acceptance.client import Client
from tests.acceptance.relay_process import RelayProcess, wait_for
from tests.events import secret, sign_event
from tests.integration.caching.valkeys import one_server
from tests.integration.storage.servers import Connection, Machine, Machines, machines

ARCHIVE = "archive_mode = on\narchive_command = 'cp %p {archive}/%f'\n"
RECOVERY = "restore_command = 'cp {archive}/%f %p'\nrecovery_target_name = 'before the mistake'\n"
PROMOTE = "recovery_target_action = promote\n"
EVERYTHING = {"kinds": [1]}


@pytest.fixture
def made() -> Iterator[Machines]:
    with machines() as of_this_test:
        yield of_this_test


def with_archive(made: Machines, cluster: Path) -> tuple[Machine, Path]:
    """A server that archives its log, and the folder of the archive."""
    machine = made.copy_of(cluster)
    machine.server.run_as = choose_run_as()
    archive = machine.server.data.parent / "archive"
    archive.mkdir()
    chown_tree(archive, machine.server.run_as.owner)
    with (machine.server.data / "postgresql.conf").open("a") as file:
        file.write(ARCHIVE.format(archive=archive))
    machine.start()
    return machine, archive


def base_backup(machine: Machine, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    assert machine.server.run_as is not None
    chown_tree(folder, machine.server.run_as.owner)
    machine.run("pg_basebackup", "-D", str(folder), "--checkpoint=fast", "--no-sync")


def recover(machine: Machine, backup: Path, archive: Path) -> None:
    """Put the backup in the place of the data folder, and let the server recover to the restore point."""
    machine.stop()
    shutil.rmtree(machine.server.data)
    shutil.copytree(backup, machine.server.data, symlinks=True)
    with (machine.server.data / "postgresql.conf").open("a") as file:
        file.write(RECOVERY.format(archive=archive) + PROMOTE)
    (machine.server.data / "recovery.signal").touch()
    assert machine.server.run_as is not None
    chown_tree(machine.server.data, machine.server.run_as.owner)
    machine.start()


def archived(connection: Connection) -> str:
    """The file of the log that was archived last."""
    row = connection.execute("SELECT last_archived_wal FROM pg_stat_archiver").fetchone()
    assert row is not None
    return str(row[0] or "")


async def served(relay: RelayProcess, ids: set[str]) -> None:
    """Return when six connections in a row, to either worker, are sent exactly these events."""
    right = 0
    while right < 6:
        try:
            async with Client(relay.ws_url) as client:
                right = right + 1 if set((await client.request("all", EVERYTHING)).ids) == ids else 0
        except (InvalidStatus, ConnectionClosed):
            right = 0


async def publish(client: Client, text: str) -> str:
    event = sign_event(secret(7), content=text, created_at=int(time.time()))
    assert (await client.publish(event)).accepted
    return str(event["id"])


async def test_a_relay_on_a_store_that_was_recovered_to_a_point_in_time_serves_that_point_and_goes_on(
    made: Machines, migrated_cluster: Path, tmp_path: Path
) -> None:
    machine, archive = with_archive(made, migrated_cluster)
    with one_server() as valkey:
        key = "a key for tests alone, long enough for the checks: 0123456789"
        settings = {"DATABASE_URL": machine.server.url, "REDIS_URL": valkey.url, "SECRET_KEY": key}
        relay = RelayProcess(tmp_path / "var", workers=2, roles="web", settings=settings)
        try:
            relay.start()
            before = machine.store()
            async with Client(relay.ws_url) as client:
                kept = [await publish(client, "before the backup")]
                base_backup(machine, backup := machine.server.data.parent / "base")
                kept.append(await publish(client, "after the backup"))
                deletion = sign_event(secret(7), kind=5, tags=[["e", kept[0]]], created_at=int(time.time()))
                with machine.connect() as connection:
                    connection.execute("SELECT pg_create_restore_point('before the mistake')")
                assert (await client.publish(deletion)).accepted
                lost = await publish(client, "after the restore point")
                assert set((await client.request("all", EVERYTHING)).ids) == {kept[1], lost}
                with machine.connect() as connection:
                    (newest,) = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
                    wait_for(lambda: archived(connection) >= newest, "the archive")
                await asyncio.to_thread(recover, machine, backup, archive)
                await asyncio.wait_for(client.socket.wait_closed(), 20.0)
                assert client.socket.close_code == 1012
            await asyncio.wait_for(served(relay, set(kept)), 20.0)  # a worker may answer from memory until it notices
            async with Client(relay.ws_url) as client:
                again = await publish(client, "after the recovery")
                assert set((await client.request("more", EVERYTHING)).ids) == {*kept, again}
            after = machine.store()
            assert (after.identity, after.epoch) == (before.identity, before.epoch + 1)
        finally:
            relay.destroy()

"""PostgreSQL without space: events are refused in bounded time, and what was acknowledged is there afterwards."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayproject.runtime.processes import living_in
from tests.acceptance.client import Client
from tests.acceptance.conftest import StartRelay
from tests.acceptance.faults.load import Ledger, new_author, stored_of
from tests.acceptance.relay_process import wait_for
from tests.integration.storage.servers import Machine

DISK_MEGABYTES = 256
"""A cluster has 40 MB, its log 32 MB at first."""

ANSWER_SECONDS = 6.0


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small file system of its own, which only root can mount."""
    folder = Path(tempfile.mkdtemp(prefix="relay-disk-"))
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if as_root and shutil.which("sudo") is None:
        pytest.xfail("a tmpfs can be mounted by root only")
    mount = [*as_root, "mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,mode=0755,uid={os.geteuid()}"]
    done = subprocess.run([*mount, "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode != 0:
        folder.rmdir()
        pytest.xfail(f"no tmpfs can be mounted here, by root neither: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run([*as_root, "umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


async def test_a_full_disk_refuses_events_and_loses_none_that_was_acknowledged(
    disk: Path, start_relay: StartRelay, migrated_cluster: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine = Machine(disk)
    shutil.copytree(migrated_cluster, machine.server.data, symlinks=True)
    machine.start()
    try:
        settings = {
            "DATABASE_URL": machine.server.url,
            "SECRET_KEY": "a key for tests alone, long enough: 0123456789abcd",
        }
        folder = tmp_path_factory.mktemp("full") / "var"
        relay = start_relay(settings, workers=2, data_dir=folder)
        ledgers = [Ledger(relay.ws_url, new_author(), size=8_000) for _ in range(4)]
        for ledger in ledgers:
            await ledger.acknowledged_more(30, 20.0)

        ballast = disk / "ballast"
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - 2**20)
        for ledger in ledgers:
            await ledger.refused_more(60.0)
            await ledger.refused_more(ANSWER_SECONDS)

        ballast.unlink()
        if not any(living_in(machine.server.data, "postgres")):  # it ends when it finds no space for its log
            machine.server.spawn()
            wait_for(machine.server.answers, "PostgreSQL")
        for ledger in ledgers:
            await ledger.acknowledged_more(20, 20.0)
            await ledger.finish()
        assert all(text.startswith("error: ") for ledger in ledgers for text in ledger.refused)
        async with Client(relay.ws_url) as client:
            for ledger in ledgers:
                assert await stored_of(client, ledger.acknowledged) == set(ledger.acknowledged)
    finally:
        machine.leave()

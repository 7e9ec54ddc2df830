"""A relay with its own servers moves to a PostgreSQL of the operator's, by a dump and a restore."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayproject.runtime.postgres import binaries
from tests.acceptance.client import Client
from tests.acceptance.conftest import StartRelay
from tests.events import secret, sign_event
from tests.integration.storage.servers import Machine, Machines, machines

EVERYTHING = {"kinds": [0, 1, 5]}
KEY = "a key for tests alone, long enough for the checks: 0123456789"


@pytest.fixture
def made() -> Iterator[Machines]:
    with machines() as of_this_test:
        yield of_this_test


def dump(url: str, file: Path) -> None:
    """As the document says it: pg_dump of the same version as the server, beside the running relay."""
    environment = {"PATH": os.environ["PATH"]}
    command: list[str | Path] = [binaries() / "pg_dump", "-Fc", "-f", file, "-d", url]
    subprocess.run(command, check=True, timeout=60, env=environment)


def restore(machine: Machine, file: Path) -> None:
    with machine.connect("postgres") as connection:
        connection.execute("CREATE DATABASE moved")
    file.chmod(0o644)
    target = machine.folder.path / "relay.dump"
    target.write_bytes(file.read_bytes())
    target.chmod(0o644)
    machine.run(
        "pg_restore", "--exit-on-error", "--no-owner", "--no-privileges", "--jobs", "2", "-d", "moved", str(target)
    )


async def test_a_dump_restored_elsewhere_has_all_events_what_was_deleted_stays_deleted_and_it_is_another_store(
    start_relay: StartRelay, made: Machines, tmp_path: Path
) -> None:
    old = start_relay()
    async with Client(old.ws_url) as client:
        note, profile = sign_event(secret(7), content="a note"), sign_event(secret(7), kind=0, content="{}")
        gone = sign_event(secret(7), content="deleted")
        deletion = sign_event(secret(7), kind=5, tags=[["e", gone["id"]]])
        for event in (note, profile, gone, deletion):
            assert (await client.publish(event)).accepted
        stored = set((await client.request("all", EVERYTHING)).ids)
    dump(old.services()["DATABASE_URL"], tmp_path / "relay.dump")
    old.stop()

    machine = made.primary()
    before = machine.store()
    restore(machine, tmp_path / "relay.dump")
    url = machine.server.url.replace("/relay?", "/moved?")
    new = start_relay({"DATABASE_URL": url, "SECRET_KEY": KEY}, data_dir=tmp_path / "new")
    async with Client(new.ws_url) as client:
        assert (
            set((await client.request("all", EVERYTHING)).ids) == stored == {note["id"], profile["id"], deletion["id"]}
        )
        assert not (await client.publish(gone)).accepted
        assert (await client.publish(sign_event(secret(7), content="after the move"))).accepted
    moved = machine.store("moved")
    assert moved.epoch == 1
    assert moved.identity != before.identity

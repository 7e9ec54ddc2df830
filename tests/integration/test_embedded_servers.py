"""The embedded servers themselves: identities, leftovers, settings, sockets."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from relayproject.runtime.datafolder import SOCKET_PATH_BYTES, DataFolder
from relayproject.runtime.errors import StartupError
from relayproject.runtime.logfiles import previous
from relayproject.runtime.postgres import EmbeddedPostgres
from relayproject.runtime.run_as import RunAs, is_permitted, unprivileged_user
from relayproject.runtime.valkey import EmbeddedValkey


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    data = DataFolder(tmp_path / "var")
    data.take()
    yield data
    data.release()


def postgres_in(folder: DataFolder, run_as: RunAs | None = None) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder.path / "postgres", folder.sockets(), folder.path / "postgres.log", run_as)


def identities() -> list[RunAs]:
    """Every way in which this user can run PostgreSQL here, and the first once more."""
    if os.geteuid() != 0:
        return [RunAs("self", os.geteuid())] * 2
    uid = unprivileged_user()
    ways = [RunAs(f"namespace:{uid}", 0), RunAs(f"capability:{uid}", uid)]
    able = [way for way in ways if is_permitted(way.launch)]
    return [*able, able[0]]


def test_the_data_survives_a_change_of_the_way_root_is_avoided(folder: DataFolder) -> None:
    for number, run_as in enumerate(identities()):
        server = postgres_in(folder, run_as)
        server.start()
        try:
            with psycopg.connect(server.url) as database:
                database.execute("CREATE TABLE IF NOT EXISTS starts (number int)")
                database.execute("INSERT INTO starts VALUES (%s)", [number])
                count = database.execute("SELECT count(*) FROM starts").fetchone()
        finally:
            server.stop()
        assert count == (number + 1,)


def test_postgres_is_durable_and_has_no_door_but_its_socket(folder: DataFolder) -> None:
    server = postgres_in(folder)
    server.start()
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "wal_level": "replica",
        "max_connections": "200",
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
    try:
        with psycopg.connect(server.url) as database:
            found = {name: database.execute(f"SHOW {name}").fetchone() for name in wanted}
    finally:
        server.stop()

    assert found == {name: (value,) for name, value in wanted.items()}
    assert folder.sockets().stat().st_mode & 0o777 == 0o700
    assert server.process is not None
    assert server.process.poll() == 0


def test_a_refused_statement_does_not_stand_in_the_log_and_a_restart_keeps_the_log(folder: DataFolder) -> None:
    server = postgres_in(folder)
    server.start()
    try:
        with psycopg.connect(server.url, autocommit=True) as database, pytest.raises(psycopg.errors.DivisionByZero):
            database.execute(f"SELECT 1 / 0, '{'a client wrote this' * 3_000}'")
    finally:
        server.stop()
    told = server.log.read_text()
    assert "division by zero" in told
    assert "a client wrote this" not in told

    server.start()
    server.stop()
    assert "division by zero" in previous(server.log).read_text()


def test_a_half_made_cluster_is_made_anew(folder: DataFolder) -> None:
    half = folder.path / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")

    server = postgres_in(folder)
    server.start()
    server.stop()

    assert not half.exists()
    assert (folder.path / "postgres" / "postgresql.conf").exists()


def test_data_of_another_major_version_is_refused(folder: DataFolder) -> None:
    (folder.path / "postgres").mkdir()
    (folder.path / "postgres" / "PG_VERSION").write_text("16\n")

    with pytest.raises(StartupError, match="holds data of PostgreSQL 16, this is 18"):
        postgres_in(folder).start()


def test_a_server_that_cannot_start_says_why(folder: DataFolder) -> None:
    server = postgres_in(folder)
    server.start()
    server.stop()
    with (server.data / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = 'plenty'\n")

    with pytest.raises(StartupError, match=r"PostgreSQL did not start: .*(FATAL|plenty)"):
        server.start()


def test_valkey_gives_subscribers_a_large_buffer_and_keeps_nothing(folder: DataFolder) -> None:
    server = EmbeddedValkey(folder.sockets(), folder.path / "valkey.log")
    server.start()
    try:
        client = redis.Redis.from_url(server.url, decode_responses=True)
        limits = client.config_get("client-output-buffer-limit")
        saving = client.config_get("save") | client.config_get("appendonly") | client.config_get("port")
        client.close()
    finally:
        server.stop()

    assert "pubsub 268435456 67108864 60" in str(limits["client-output-buffer-limit"])
    assert saving == {"save": "", "appendonly": "no", "port": "0"}


def test_sockets_lie_in_the_data_folder_when_its_path_is_short(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "v")
    data.take()
    sockets = data.sockets()
    data.release()

    assert sockets == tmp_path / "v" / "run"


def test_sockets_of_a_long_path_are_elsewhere_and_go_with_the_start(tmp_path: Path) -> None:
    path = tmp_path / ("x" * SOCKET_PATH_BYTES)
    killed = DataFolder(path)
    killed.take()
    left_over = killed.sockets()
    os.close(killed._lock)  # as the kernel does for a killed process

    data = DataFolder(path)
    data.take()
    sockets = data.sockets()

    assert not left_over.exists()
    assert len(str(sockets)) < 20
    assert sockets.stat().st_mode & 0o777 == 0o700
    data.release()
    assert not sockets.exists()


def test_a_folder_has_one_owner_at_a_time(folder: DataFolder) -> None:
    with pytest.raises(StartupError, match="in use by another start"):
        DataFolder(folder.path).take()

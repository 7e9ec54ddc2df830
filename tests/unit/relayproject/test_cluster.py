"""A cluster's ports, processes, signals and notes, without a server."""

import http.client
import os
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from relayproject.runtime.cluster import detached, instances, members, postgres, probes, program, promotion, valkey
from relayproject.runtime.cluster.cluster import Cluster
from relayproject.runtime.cluster.command import folder_of
from relayproject.runtime.cluster.detached import Process
from relayproject.runtime.cluster.options import MOST_INSTANCES, MOST_REPLICAS, PORTS, Failover, Options, Valkey
from relayproject.runtime.cluster.part import Kind, Part
from relayproject.runtime.cluster.site import Site
from relayproject.runtime.cluster.state import Running, State, load, locked, new_state, save
from relayproject.runtime.cluster.status import Condition, Row, Status, status
from relayproject.runtime.cluster.table import table
from relayproject.runtime.errors import StartupError
from relayproject.runtime.run_as import RunAs
from tests.acceptance.cluster_command import free_base_port


def site_in(folder: Path, options: Options) -> Site:
    return Site(folder, options, "key", "secret", RunAs("self", os.geteuid()))


def say(_line: str) -> None: ...


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    """A process that this test started, as a part of a cluster is started."""
    part = Part("sleeper", Kind.VALKEY, ("/bin/sleep", "60"), tmp_path, tmp_path / "sleeper.log", 1)
    process = detached.start(part)
    yield process
    detached.send(process, signal.SIGKILL)
    assert detached.wait_until_gone(process, 5.0)


@pytest.mark.parametrize("mode", list(Valkey))
def test_no_two_parts_of_the_largest_cluster_share_a_port(tmp_path: Path, mode: Valkey) -> None:
    options = Options(Failover.PATRONI, MOST_INSTANCES, MOST_REPLICAS, valkey=mode, base_port=20_000)
    site = site_in(tmp_path, options)
    ports = [part.port for part in members.shown(site)]
    ports += [options.operators_port, *(options.etcd_ports(number)[1] for number in (1, 2, 3))]
    ports += [options.valkey_bus_port(number) for number in range(1, 7)]
    assert len(set(ports)) == len(ports)
    assert all(20_000 <= port < 20_000 + PORTS for port in ports)


def test_a_process_that_has_the_pid_of_a_noted_one_is_not_signalled(sleeper: Process) -> None:
    for other in (
        msgspec.structs.replace(sleeper, started=sleeper.started - 1),
        msgspec.structs.replace(sleeper, boot="another boot"),
    ):
        assert not detached.is_alive(other)
        assert not detached.send(other, signal.SIGKILL)
    assert detached.is_alive(sleeper)


def test_a_paused_process_is_alive_and_goes_on(sleeper: Process) -> None:
    detached.send(sleeper, signal.SIGSTOP)
    os.waitpid(sleeper.pid, os.WUNTRACED)
    assert detached.is_alive(sleeper)
    assert detached.is_paused(sleeper)
    detached.send(sleeper, signal.SIGCONT)
    os.waitpid(sleeper.pid, os.WCONTINUED)
    assert not detached.is_paused(sleeper)


def test_a_part_does_not_see_the_addresses_of_another_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/relay")
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("RELAY_NAME", "mine")
    found = detached.environment({"REDIS_URL": "redis://here"})
    assert (found.get("DATABASE_URL"), found.get("PGHOST")) == (None, None)
    assert (found["REDIS_URL"], found["RELAY_NAME"]) == ("redis://here", "mine")


def test_the_state_is_read_as_it_was_written_and_private(tmp_path: Path) -> None:
    state = new_state(Options(instances=2))
    save(tmp_path, state)
    assert load(tmp_path) == state
    assert (tmp_path / "cluster.json").stat().st_mode & 0o777 == 0o600


def test_a_state_file_that_is_damaged_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(StartupError, match=r"cluster\.json"):
        load(tmp_path)


def test_two_commands_do_not_change_a_cluster_at_once(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(StartupError, match="Another command"), locked(tmp_path):
        pass


def test_an_error_of_a_command_is_not_taken_for_another_command(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError, match="no process to be had"), locked(tmp_path):
        raise BlockingIOError("no process to be had")


def test_a_program_that_does_not_end_is_killed_with_what_it_has_started(tmp_path: Path) -> None:
    argv = ["/bin/sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait"]
    with pytest.raises(StartupError, match="The copy has not ended after 1 s, and was killed"):
        program.run(argv, "The copy", 1.0, environment=os.environ)
    left = detached.identify(int((tmp_path / "pid").read_text()))
    assert left is None or detached.wait_until_gone(left, 5.0)


def test_a_program_that_fails_says_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="initdb failed: no room"):
        program.run(["/bin/sh", "-c", "echo begin; cat >&2; exit 3"], "initdb", 9.0, environment={}, text="no room")
    with pytest.raises(StartupError, match="initdb does not start"):
        program.run([str(tmp_path / "none")], "initdb", 9.0, environment={})


@pytest.mark.parametrize("failover, log", [(Failover.PLAIN, "postgres-1.log"), (Failover.PATRONI, "patroni-1.log")])
def test_a_server_that_is_down_has_the_log_of_what_ran_it(tmp_path: Path, failover: Failover, log: str) -> None:
    site = site_in(tmp_path, Options(failover, haproxy=False, prometheus=False))
    found = status(site, State(site.options, "key", "secret"))
    assert [Path(row.log).name for row in found.parts if row.name == "postgres-1"] == [log]


@pytest.mark.parametrize("failover", list(Failover))
def test_of_a_cluster_that_is_down_nothing_is_promoted(tmp_path: Path, failover: Failover) -> None:
    site = site_in(tmp_path, Options(failover))
    with pytest.raises(StartupError, match="No PostgreSQL server runs: `cluster up` starts them"):
        promotion.promote(site, State(site.options, "key", "secret"), None, say, force=False)


def test_a_replica_that_is_down_is_to_be_started_before_a_promotion(tmp_path: Path, sleeper: Process) -> None:
    site = site_in(tmp_path, Options(base_port=2_000))
    running = {"postgres-1": Running((), {}, "", "", sleeper)}
    state = State(site.options, "key", "secret", running=running)
    with pytest.raises(StartupError, match=r"postgres-2 is down, .*: `cluster up` starts it, or --force"):
        promotion.promote(site, state, None, say, force=False)
    assert detached.is_alive(sleeper)


def test_an_old_primary_that_does_not_end_is_not_replaced(
    tmp_path: Path, sleeper: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_in(tmp_path, Options(base_port=20_000))
    state = State(site.options, "key", "secret", running={"postgres-1": Running((), {}, "", "", sleeper)})
    monkeypatch.setattr(promotion, "send", lambda _process, _signal: None)  # it is in the kernel, and ends later
    monkeypatch.setattr(promotion, "wait_until_gone", lambda _process, _seconds: False)
    with pytest.raises(StartupError, match="postgres-1 does not end, and may still write"):
        promotion._fence(site, state, say)


@pytest.fixture
def half_an_answer() -> Iterator[int]:
    """The port of a server that ends in the middle of its answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10.0)


def test_a_part_that_ends_while_it_answers_does_not_answer(tmp_path: Path, half_an_answer: int) -> None:
    part = Part("relay-1", Kind.RELAY, (), tmp_path, tmp_path, half_an_answer)
    assert not probes.ask(site_in(tmp_path, Options()), part).well


def test_parts_are_asked_without_the_proxy_of_the_shell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, half_an_answer: int
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setattr(urllib.request, "_opener", None)  # which has the variables of its first request
    with pytest.raises(http.client.IncompleteRead):
        probes.get(half_an_answer, "/ready")


def test_a_new_cluster_whose_port_is_taken_is_not_made(tmp_path: Path) -> None:
    options = Options(Failover.PLAIN, 1, 0, base_port=free_base_port(), haproxy=False, prometheus=False)
    with (
        socket.create_server(("127.0.0.1", options.instance_port(1))),
        pytest.raises(StartupError, match=r"relay-1 cannot listen on .*: choose another --base-port"),
    ):
        Cluster(tmp_path, say).up(msgspec.to_builtins(options))
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.lock"]


def test_a_cluster_is_noted_before_anything_has_its_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_starter: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("relayproject.runtime.cluster.cluster.start_all", stopped)
    cluster = Cluster(tmp_path, say)
    with pytest.raises(KeyboardInterrupt):
        cluster.up({"failover": "plain", "base_port": free_base_port()})
    assert load(tmp_path) is not None


def test_data_without_the_note_of_its_passwords_are_not_started(tmp_path: Path) -> None:
    (tmp_path / "postgres-2").mkdir()
    with pytest.raises(StartupError, match=r"postgres-2 is of a cluster whose cluster\.json is gone"):
        Cluster(tmp_path, say).up({"failover": "plain", "base_port": free_base_port()})


def test_a_valkey_cluster_that_was_half_made_is_forgotten(tmp_path: Path) -> None:
    site = site_in(tmp_path, Options(valkey=Valkey.CLUSTER))
    for part in valkey.members(site):
        part.folder.mkdir()
        (part.folder / "nodes.conf").touch()
    valkey.forget_members(site)
    assert list(tmp_path.glob("*/nodes.conf")) == []


def test_the_master_is_the_one_of_the_newest_failover_that_a_sentinel_noted(tmp_path: Path) -> None:
    site = site_in(tmp_path, Options(valkey=Valkey.SENTINEL, base_port=20_000))
    assert valkey.master_port(site) == 20_071
    for number, port, epoch in ((1, 20_071, 0), (2, 20_073, 4), (3, 20_072, 3)):
        (tmp_path / f"sentinel-{number}").mkdir()
        text = f"sentinel monitor relay 127.0.0.1 {port} 2\nsentinel config-epoch relay {epoch}\n"
        (tmp_path / f"sentinel-{number}/valkey.conf").write_text(text)
    assert valkey.master_port(site) == 20_073


def test_celery_has_a_server_of_its_own_beside_a_valkey_cluster(tmp_path: Path) -> None:
    found = instances.settings(site_in(tmp_path, Options(valkey=Valkey.CLUSTER, base_port=20_000)), 1)
    assert found["REDIS_URL"].startswith("redis+cluster://:secret@127.0.0.1:20071,127.0.0.1:20072,")
    assert found["BROKER_URL"] == "redis://:secret@127.0.0.1:20099/0"


def test_only_named_standbys_confirm_commits(tmp_path: Path) -> None:
    site = site_in(tmp_path, Options(replicas=1, base_port=20_000))
    postgres.configure(site, 1)
    text = (tmp_path / "postgres-1/cluster.conf").read_text()
    assert 'synchronous_standby_names = \'ANY 1 ("postgres-1", "postgres-2")\'' in text


def test_a_shell_with_the_settings_of_an_instance_finds_the_cluster_again(tmp_path: Path) -> None:
    assert folder_of(tmp_path) == tmp_path / "cluster"
    (tmp_path / "cluster").mkdir()
    save(tmp_path / "cluster", new_state(Options()))
    assert folder_of(tmp_path / "cluster" / "relay-1") == tmp_path / "cluster"


def test_a_refused_option_is_written_as_on_the_command_line(tmp_path: Path) -> None:
    save(tmp_path, new_state(Options(base_port=20_000, haproxy=False)))
    said: list[str] = []
    cluster = Cluster(tmp_path, said.append)
    with pytest.raises(StartupError, match="--base-port 20000"):
        cluster.up({"base_port": 21_000})
    with pytest.raises(StartupError, match="--no-haproxy"):
        cluster.up({"haproxy": True})


def test_a_new_cluster_says_what_is_not_installed(tmp_path: Path) -> None:
    said: list[str] = []
    lacking = Options(failover=Failover.PLAIN, haproxy=False, prometheus=False)
    Cluster(tmp_path, said.append)._say_what_is_left_out(lacking, {"prometheus": False})
    assert [line.split(":")[0] for line in said] == [
        "without Patroni, which is not installed",
        "without haproxy",
    ]


def test_a_name_that_is_no_part_is_refused_with_those_that_are(tmp_path: Path) -> None:
    site = site_in(tmp_path, Options(instances=1))
    state = State(site.options, "key", "secret")
    with pytest.raises(StartupError, match="There is no part relay-2: postgres-1, "):
        members.processes(site, state, "relay-2")


@pytest.mark.parametrize(
    "conditions, code",
    [
        ((Condition.WELL, Condition.WELL), 0),
        ((Condition.WELL, Condition.DOWN), 1),
        ((Condition.PAUSED, Condition.WELL), 1),
        ((Condition.DOWN, Condition.DOWN), 3),
    ],
)
def test_the_exit_code_says_whether_all_some_or_nothing_is_well(conditions: tuple[Condition, ...], code: int) -> None:
    rows = [Row(f"part-{at}", "relay", "", 1, "", one, "", None, "") for at, one in enumerate(conditions)]
    healthy = all(one is Condition.WELL for one in conditions)
    assert Status(healthy, "ws://x", rows).exit_code == code


def test_the_table_has_lags_in_units_and_a_dash_for_what_is_unknown() -> None:
    rows = [
        Row("postgres-2", "postgres", "replica", 7, "127.0.0.1:5", Condition.WELL, "streaming", 5_000, "/l"),
        Row("valkey-1", "valkey", "", 0, "127.0.0.1:6", Condition.DOWN, "", None, "/m"),
    ]
    lines = table(Status(False, "ws://x", rows)).splitlines()
    assert lines[1].split() == ["postgres-2", "replica", "7", "127.0.0.1:5", "running", "(streaming)", "4", "KiB", "/l"]
    assert lines[2].split() == ["valkey-1", "-", "-", "127.0.0.1:6", "down", "-", "/m"]
    assert lines[-1] == "NOT well: ws://x"

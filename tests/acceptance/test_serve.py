"""`manage.py serve` as its operator meets it: starts, refusals, faults, stops."""

import contextlib
import http.cookiejar
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from relayproject.runtime.datafolder import DataFolder
from relayproject.runtime.postgres import EmbeddedPostgres
from relayproject.runtime.run_as import choose_run_as
from relayproject.runtime.stopping import SAME_REQUEST_SECONDS
from tests.acceptance.conftest import ALL_ROLES, StartRelay
from tests.acceptance.relay_process import PROJECT, RelayProcess, clean_environment, wait_for
from tests.ports import free_port

BEAT = "relayproject.runtime.beat"
JOBS = "relayproject.runtime.jobs"


def healthy(relay: RelayProcess) -> bool:
    try:
        return relay.get("/health", seconds=2.0)[0] == 200
    except OSError:
        return False


def login(relay: RelayProcess, password: str) -> str:
    """The address of the page that a log-in leads to."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    page = opener.open(f"{relay.http_url}/admin/login/", timeout=10).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token is not None
    form = {"username": "admin", "password": password, "csrfmiddlewaretoken": token[1], "next": "/admin/"}
    with opener.open(f"{relay.http_url}/admin/login/", urllib.parse.urlencode(form).encode(), timeout=10) as answer:
        return str(answer.url)


# -- start ------------------------------------------------------------------------------------------


def test_a_start_prints_the_address_then_the_admin_then_where_the_password_is(relay: RelayProcess) -> None:
    lines = relay.output().splitlines()

    assert lines[:2] == [f"relay ready: {relay.ws_url}", f"admin: {relay.http_url}/admin/"]
    file = relay.data_dir / "first_password"
    assert lines[2] == f"administrator: admin, password in {file} (deleted after you have changed it)"
    assert len(file.read_text().strip()) >= 12


def test_the_printed_password_opens_the_admin(relay: RelayProcess) -> None:
    assert login(relay, relay.password() or "") == f"{relay.http_url}/admin/"


def test_a_relay_runs_as_many_workers_as_are_set_and_all_the_jobs(relay: RelayProcess) -> None:
    wait_for(lambda: relay.pids(JOBS) and relay.pids(BEAT), "jobs")

    assert len(relay.workers()) == 2


PRIVATE = ("secret_key", "services.json", "first_password", "run")


def test_secrets_of_the_data_folder_are_readable_by_their_owner_alone(relay: RelayProcess) -> None:
    modes = {name: (relay.data_dir / name).stat().st_mode & 0o777 for name in PRIVATE}

    assert modes == {**dict.fromkeys(PRIVATE, 0o600), "run": 0o700}


def test_a_second_start_reuses_the_data_and_prints_no_password(start_relay: StartRelay, prepared_folder: Path) -> None:
    first = start_relay(data_dir=prepared_folder)
    key = (prepared_folder / "secret_key").read_text()
    with psycopg.connect(first.services()["DATABASE_URL"]) as database:
        database.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    first.stop()

    second = start_relay(data_dir=prepared_folder, roles="web,migrate")

    with psycopg.connect(second.services()["DATABASE_URL"]) as database:
        assert database.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert second.password() is None
    assert (prepared_folder / "secret_key").read_text() == key


def test_a_relay_starts_from_a_path_that_is_too_long_for_a_socket(
    start_relay: StartRelay, migrated_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / ("long" * 30) / "with 'quotes', commas and spaces" / "var"
    shutil.copytree(migrated_folder, folder)

    relay = start_relay(data_dir=folder)
    sockets = (folder / "run" / "sockets").readlink()
    assert healthy(relay)
    assert relay.stop() == 0

    assert not sockets.exists()


def test_an_ordinary_user_starts_a_relay(prepared_folder: Path) -> None:
    identity = choose_run_as().launch  # as root: another user, as which nothing of root's power is left
    relay = RelayProcess(prepared_folder, identity=identity, roles="web")
    try:
        relay.start()
        assert healthy(relay)
        assert relay.stop() == 0
    finally:
        relay.destroy()


def test_the_role_migrate_alone_prepares_the_database_and_ends(start_relay: StartRelay, prepared_folder: Path) -> None:
    assert start_relay(data_dir=prepared_folder, roles="migrate", ready=False).wait_ended(30.0) == 0


def test_without_the_role_web_nothing_listens(start_relay: StartRelay) -> None:
    relay = start_relay(roles="worker", ready=False)

    wait_for(lambda: "serve: running: Celery worker" in relay.messages(), "a start", 30.0)

    assert relay.workers() == []
    assert not healthy(relay)


def test_sixty_requests_for_nothing_write_a_line_a_second_of_each_worker(relay: RelayProcess) -> None:
    before = relay.messages().count("Not Found")
    started = time.monotonic()
    for number in range(60):
        assert relay.get(f"/nothing/{number}")[0] == 404
    seconds = time.monotonic() - started

    wait_for(lambda: "more such lines within a second" in relay.messages(), "the count of the others")

    assert relay.messages().count("Not Found") - before <= 2 * (seconds + 3)


def test_01_s12_a_websocket_on_another_path_is_answered_404(relay: RelayProcess) -> None:
    with pytest.raises(InvalidStatus) as caught:
        connect(f"{relay.ws_url}/elsewhere")

    assert caught.value.response.status_code == 404


# -- stop -------------------------------------------------------------------------------------------


def test_an_interrupt_stops_everything_in_time_with_exit_code_0(start_relay: StartRelay) -> None:
    relay = start_relay(workers=2, roles=ALL_ROLES)

    assert relay.stop(signal.SIGINT) == 0

    assert relay.pids() == []
    assert not (relay.data_dir / "services.json").exists()


def test_sigterm_stops_everything_in_time_though_clients_stay_connected(start_relay: StartRelay) -> None:
    relay = start_relay()

    with socket.create_connection(("127.0.0.1", relay.port)), connect(relay.ws_url):
        assert relay.stop(signal.SIGTERM) == 0
    assert "killing" not in relay.messages()
    assert relay.pids() == []
    assert not (relay.data_dir / "services.json").exists()


def test_a_signal_during_the_start_stops_it(start_relay: StartRelay, prepared_folder: Path) -> None:
    relay = start_relay(data_dir=prepared_folder, ready=False)
    wait_for((prepared_folder / "services.json").exists, "the start of the database", 30.0)

    assert relay.stop(signal.SIGINT) == 0

    assert relay.pids() == []


def test_a_second_signal_later_kills_what_does_not_stop(start_relay: StartRelay) -> None:
    relay = start_relay()
    os.kill(relay.workers()[0], signal.SIGSTOP)
    assert relay.process is not None
    relay.process.send_signal(signal.SIGINT)
    wait_for(lambda: "serve: stopping" in relay.messages(), "the first signal")
    time.sleep(SAME_REQUEST_SECONDS + 0.1)  # sooner, it would be the same request

    started = time.monotonic()
    assert relay.stop(signal.SIGINT) == 0

    assert time.monotonic() - started < 5.0, "it waited for the drain of a worker that hangs"


# -- faults -----------------------------------------------------------------------------------------


def test_a_killed_supervisor_leaves_nothing_and_the_next_start_works(
    start_relay: StartRelay, prepared_folder: Path
) -> None:
    relay = start_relay(data_dir=prepared_folder, workers=2, roles=ALL_ROLES)
    relay.stop(signal.SIGKILL)
    wait_for(lambda: not relay.pids(), "the end of all children")

    assert healthy(start_relay(data_dir=prepared_folder))


def test_a_killed_machine_leaves_a_pid_file_and_the_next_start_works(
    start_relay: StartRelay, prepared_folder: Path
) -> None:
    relay = start_relay(data_dir=prepared_folder)
    for pid in relay.pids():
        with contextlib.suppress(ProcessLookupError):  # children die with the supervisor
            os.kill(pid, signal.SIGKILL)
    relay.wait_ended()
    pid_file = prepared_folder / "postgres" / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(pid_file.read_text().split()[0], str(os.getpid()), 1))

    assert healthy(start_relay(data_dir=prepared_folder))


def test_one_of_two_machines_keeps_the_schedule_and_the_other_takes_over(
    start_relay: StartRelay, relay: RelayProcess, tmp_path: Path
) -> None:
    key = (relay.data_dir / "secret_key").read_text().strip()
    shared = {**relay.services(), "SECRET_KEY": key}
    standby = start_relay(shared, data_dir=tmp_path / "b", roles="beat", ready=False)
    wait_for(lambda: "another machine keeps the schedule" in standby.messages(), "standing by", 30.0)

    for _ in range(50):  # the one that held the schedule comes back after a pause, and may be quicker
        for pid in relay.pids(BEAT):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        if "this machine keeps the schedule now" in standby.messages():
            break

    assert "this machine keeps the schedule now" in standby.messages()


# -- refusals ---------------------------------------------------------------------------------------


def refusal(relay: RelayProcess) -> str:
    """What a start that must fail says; AssertionError unless that is one line and the exit code is 1."""
    code = relay.wait_ended(30.0)
    lines = relay.messages().splitlines()
    assert code == 1, relay.messages()
    assert len(lines) == 1, relay.messages()
    assert relay.output() == ""
    assert relay.pids() == []
    return lines[0]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A stranger that would even share its port."""
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        yield stranger


def test_a_port_in_use_is_refused(start_relay: StartRelay, tmp_path: Path, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    relay = start_relay({"RELAY_PORT": str(port)}, data_dir=tmp_path / "var", ready=False)

    assert f"127.0.0.1:{port} is in use" in refusal(relay)


@pytest.mark.parametrize(
    "settings, sentence",
    [
        ({"RELAY_WORKERS": "many"}, "RELAY_WORKERS must be a whole number, not 'many'."),
        ({"RELAY_PORT": "99999"}, "RELAY_PORT must be from 1 to 65535, not 99999."),
        ({"RELAY_HOST": "192.0.2.1"}, "192.0.2.1:"),
        ({"RELAY_HOST": "no such host"}, "no such host:"),
        ({"DATABASE_URL": "postgresql://relay@127.0.0.1/relay"}, "SECRET_KEY is required when DATABASE_URL is set"),
        ({"DATABASE_URL": "mysql://relay@127.0.0.1/relay"}, "DATABASE_URL must be a URL that starts with postgres"),
        ({"REPLICA_URLS": "postgresql://a"}, "REPLICA_URLS is set and DATABASE_URL is not"),
        ({"RELAY_NAME": "x" * 30}, "RELAY_NAME has 30 characters"),
        ({"RELAY_DEFAULT_LIMIT": "9", "RELAY_MAX_LIMIT": "5"}, "RELAY_DEFAULT_LIMIT 9 exceeds RELAY_MAX_LIMIT 5"),
        ({"RELAY_PUBKEY": "npub1abc"}, "RELAY_PUBKEY must be a public key"),
        ({"RELAY_CONTACT": "me@example.com"}, "RELAY_CONTACT must be a URI, such as mailto:operator@example.com"),
        ({"RELAY_MAX_LIMITS": "5"}, "RELAY_MAX_LIMITS is no setting. Did you mean RELAY_MAX_LIMIT?"),
        ({"SECRET_KEY": "abc"}, "SECRET_KEY can be guessed: it must have 32 random characters or more"),
        ({"RELAY_TRUSTED_PROXIES": "proxy"}, "RELAY_TRUSTED_PROXIES must list IP addresses"),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_is_refused(
    start_relay: StartRelay, tmp_path: Path, settings: dict[str, str], sentence: str
) -> None:
    assert sentence in refusal(start_relay(settings, data_dir=tmp_path / "var", ready=False))


def test_a_database_that_does_not_answer_is_refused(start_relay: StartRelay, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": f"postgresql://relay@127.0.0.1:{free_port()}/relay", "SECRET_KEY": "secret" * 10}

    said = refusal(start_relay(settings, data_dir=tmp_path / "var", ready=False))

    assert "The database does not answer" in said
    assert "check DATABASE_URL" in said


def test_a_data_folder_that_cannot_be_made_is_refused(start_relay: StartRelay, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert "cannot be written" in refusal(start_relay(data_dir=tmp_path / "file" / "var", ready=False))


def test_a_data_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir(mode=0o500)
    relay = RelayProcess(tmp_path / "var", identity=choose_run_as().launch)
    relay.launch()

    assert "cannot be written" in refusal(relay)


def test_a_second_start_on_a_data_folder_in_use_is_refused(start_relay: StartRelay, relay: RelayProcess) -> None:
    second = start_relay(data_dir=relay.data_dir, ready=False)

    assert second.wait_ended() == 1
    assert "is in use by another start" in second.messages()
    assert healthy(relay)


def test_a_database_of_a_newer_version_is_refused(start_relay: StartRelay, prepared_folder: Path) -> None:
    folder = DataFolder(prepared_folder)
    folder.take()
    postgres = EmbeddedPostgres(prepared_folder / "postgres", folder.sockets(), prepared_folder / "postgres.log")
    postgres.start()
    with psycopg.connect(postgres.url) as database:
        database.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('relay', '9999_next', now())")
    postgres.stop()
    folder.release()

    said = refusal(start_relay(data_dir=prepared_folder, ready=False))

    assert "made by a newer version (it has relay.9999_next)" in said


def test_an_unknown_role_is_refused_with_the_known_ones(start_relay: StartRelay, tmp_path: Path) -> None:
    relay = start_relay(data_dir=tmp_path / "var", roles="web,cook", ready=False)

    assert relay.wait_ended() == 2
    assert "choose from web,worker,beat,migrate" in relay.messages()


# -- other servers ----------------------------------------------------------------------------------


def run_command(arguments: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """A program in the environment of a shell that names a data folder."""
    environment = clean_environment({"RELAY_DATA_DIR": str(folder)})
    return subprocess.run(
        arguments, check=False, env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    "arguments",
    [["-m", "daphne", "-p", "0", "relayproject.asgi:application"], ["manage.py", "runserver", "--noreload", "0"]],
    ids=["daphne", "runserver"],
)
def test_another_server_without_a_database_says_so_and_names_serve(arguments: list[str], tmp_path: Path) -> None:
    done = run_command([sys.executable, *arguments], tmp_path)

    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "No database runs for this checkout" in done.stderr
    assert "manage.py serve" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["-m", "daphne", "-v", "0", "-p", "{port}", "relayproject.asgi:application"],
     ["manage.py", "runserver", "--noreload", "{port}"]],
    ids=["daphne", "runserver"],
)  # fmt: skip
def test_another_server_finds_the_services_of_a_running_relay(arguments: list[str], relay: RelayProcess) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, *(word.format(port=port) for word in arguments)],
        env=clean_environment({"RELAY_DATA_DIR": str(relay.data_dir)}),
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        try:
            return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200)
        except OSError:
            return False

    try:
        wait_for(answers, "an answer")
    finally:
        process.terminate()
        process.wait(10)


def shell(line: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """A line of bash in which `manage` is manage.py on a data folder."""
    before = f"manage() {{ '{sys.executable}' manage.py \"$@\"; }}; "
    return run_command(["bash", "-c", before + line], folder)


def test_dbshell_reaches_the_database_of_a_running_relay(relay: RelayProcess) -> None:
    done = shell("manage dbshell -- -Atc 'SHOW unix_socket_directories'", relay.data_dir)

    assert done.stdout.strip() == str(relay.data_dir / "run"), done.stderr


@pytest.mark.parametrize("command", ["dbshell", "showmigrations"])
def test_a_command_without_a_running_relay_reaches_no_other_server(command: str, tmp_path: Path) -> None:
    done = shell(f"manage {command}", tmp_path)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "No database runs for this checkout" in done.stderr


def test_a_command_whose_reader_has_gone_ends_without_a_traceback(relay: RelayProcess) -> None:
    done = shell("manage showmigrations | true; echo ${PIPESTATUS[0]}", relay.data_dir)

    assert (done.stdout.strip(), done.stderr) == ("141", "")


def test_help_names_the_roles_and_the_settings(tmp_path: Path) -> None:
    done = run_command([sys.executable, "manage.py", "serve", "--help"], tmp_path)

    assert done.returncode == 0
    for word in ("--roles", "web,worker,beat,migrate", "RELAY_PORT", "DATABASE_URL", "Ctrl-C"):
        assert word in done.stdout

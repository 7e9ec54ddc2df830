"""What `prepare` does on the database of an operator: settings of the role, first administrator, waiting."""

import io
import queue
import re
import threading
from pathlib import Path

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from pytest_django import Settings

from relay.storage.database import conninfo
from relayproject.runtime import preparation
from relayproject.runtime.errors import StartupError
from relayproject.runtime.preparation import quiet_server_log, wait_until_prepared

pytestmark = pytest.mark.django_db

HOLDER_NAMED = re.compile(
    r"waiting for another preparation of the database, of \S.*, whose transaction began \d+ s ago"
)


def settings_of_roles() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT unnest(setconfig) FROM pg_db_role_setting")
        return {row[0] for row in cursor.fetchall()}


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_role_gets_the_settings_that_keep_statements_out_of_the_servers_log() -> None:
    run("SET LOCAL log_min_error_statement = error")
    run("SET LOCAL log_error_verbosity = verbose")

    quiet_server_log()

    assert settings_of_roles() >= {"log_min_error_statement=panic", "log_error_verbosity=terse"}


def test_a_role_that_may_not_set_them_is_left_alone() -> None:
    before = settings_of_roles()
    run("SET LOCAL log_min_error_statement = error")
    run("CREATE ROLE ordinary")
    run("SET LOCAL ROLE ordinary")

    quiet_server_log()

    run("RESET ROLE")
    assert settings_of_roles() == before


@pytest.fixture
def data_folder(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder that `prepare` sees, which the supervisor would have made."""
    settings.RELAY_DATA_DIR = tmp_path / "var"
    monkeypatch.setenv("RELAY_SUPERVISED", "1")
    return tmp_path / "var"


def prepare(*options: str) -> str:
    said = io.StringIO()
    call_command("prepare", *options, stdout=said)
    return said.getvalue()


def test_where_others_may_read_the_first_password_is_in_a_private_file(data_folder: Path) -> None:
    said = prepare()

    file = data_folder / "first_password"
    assert said == f"administrator: admin, password in {file} (deleted after you have changed it)\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert User.objects.get().check_password(file.read_text().strip())
    assert prepare() == ""
    assert file.exists()


def test_the_file_goes_once_the_password_was_changed(data_folder: Path) -> None:
    prepare()
    admin = User.objects.get()
    admin.set_password("another one, much better")
    admin.save()

    prepare()

    assert not (data_folder / "first_password").exists()


def test_on_a_terminal_the_first_password_is_printed(data_folder: Path) -> None:
    said = prepare("--show-password")

    assert User.objects.get().check_password(said.strip().removeprefix("administrator: admin, password: "))
    assert not (data_folder / "first_password").exists()


def test_a_preparation_that_waits_for_another_says_for_which(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second machine that starts: before, it stood still without a word."""
    said: list[str] = []
    is_said, is_held = threading.Event(), threading.Event()

    def say(_who: str, text: str) -> None:
        said.append(text)
        is_said.set()

    def prepare() -> None:
        with preparation.prepare_lock():
            is_held.set()

    monkeypatch.setattr(preparation, "say", say)
    monkeypatch.setattr(preparation, "LOCK_LOOK_SECONDS", 0.01)
    second = threading.Thread(target=prepare)
    with preparation.prepare_lock():
        second.start()
        assert is_said.wait(30)
        assert not is_held.is_set()
    second.join(30)

    assert is_held.is_set()
    assert len(said) == 1
    assert HOLDER_NAMED.fullmatch(said[0])


def test_a_preparation_that_waits_names_the_holder_of_now_once_another_holds_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(preparation, "say", lambda _who, text: said.put(text))
    monkeypatch.setattr(preparation, "LOCK_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(preparation, "LOCK_TELL_SECONDS", 0.0)
    share = "SELECT pg_advisory_xact_lock_shared(%s)"  # two may hold it, so that it is held without a pause

    def prepare() -> None:
        with preparation.prepare_lock():
            pass

    waiting = threading.Thread(target=prepare)
    with psycopg.connect(conninfo()) as first:
        first.execute(share, [preparation.PREPARE_LOCK])
        waiting.start()
        assert HOLDER_NAMED.fullmatch(said.get(timeout=30))
        with psycopg.connect(conninfo()) as second:
            second.execute(share, [preparation.PREPARE_LOCK])
            first.rollback()
            later = [said.get(timeout=30) for _ in range(said.qsize() + 2)]
    waiting.join(30)

    assert HOLDER_NAMED.fullmatch(later[-1])


def test_what_is_waited_for_is_said_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(preparation, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(preparation, "missing_migrations", lambda: ["relay.0001", "relay.0002"])

    with pytest.raises(StartupError, match="lacks 2 migrations"):
        wait_until_prepared(0.6, said.append)

    assert len(said) >= 2
    assert all("waiting for 2 migrations, the first of them relay.0001" in line for line in said)

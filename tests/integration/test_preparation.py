"""What `prepare` does on the database of an operator: settings of the role, first administrator, waiting."""

import io
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from pytest_django import Settings

from relayproject.runtime import preparation
from relayproject.runtime.errors import StartupError
from relayproject.runtime.preparation import quiet_server_log, wait_until_prepared

pytestmark = pytest.mark.django_db


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


def test_what_is_waited_for_is_said_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(preparation, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(preparation, "missing_migrations", lambda: ["relay.0001", "relay.0002"])

    with pytest.raises(StartupError, match="lacks 2 migrations"):
        wait_until_prepared(0.6, said.append)

    assert len(said) >= 2
    assert all("waiting for 2 migrations, the first of them relay.0001" in line for line in said)

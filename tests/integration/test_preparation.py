"""What `prepare` sets on the server of an operator."""

import pytest
from django.db import connection

from relayproject.runtime.preparation import quiet_server_log

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

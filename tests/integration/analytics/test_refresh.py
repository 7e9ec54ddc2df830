"""A refresh: by one at a time, with a time of its own, logged whatever came of it, and well again after a kill."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import psycopg
import pytest
from django.db import OperationalError, connection

from analytics import job_runs
from analytics.job_runs import Skipped
from analytics.models import JobRun, PopularEvent
from analytics.refresh import LOCK, ROLE, refresh, refresh_role
from analytics.registry import VIEWS, view_named
from analytics.statements import statement
from relay.storage.database import conninfo
from tests.acceptance.relay_process import wait_for
from tests.events import NOW
from tests.integration.analytics.ledger import Ledger
from tests.integration.analytics.people import note, reaction

pytestmark = pytest.mark.django_db(transaction=True)

POPULAR = view_named("popular_events")

SLOW_REFRESH = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "relayproject.settings"
import django
django.setup()
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
with connection.cursor() as cursor:
    cursor.execute("SELECT set_config('analytics.nap', '30', false)")
print("begins", flush=True)
from analytics.refresh import refresh
from analytics.registry import view_named
refresh(view_named("popular_events"))
"""


@pytest.fixture
def slow(ledger: Ledger) -> Iterator[Ledger]:
    """A refresh takes as long as `analytics.nap` says (seconds, in the refreshing session), 0 without it."""
    body = (
        "SELECT coalesce(nullif(current_setting('analytics.now', true), '')::bigint, extract(epoch FROM now())::bigint)"
    )
    nap = "+ coalesce(length(pg_sleep(nullif(current_setting('analytics.nap', true), '')::float)::text), 0)"
    replace = "CREATE OR REPLACE FUNCTION analytics_now() RETURNS bigint LANGUAGE sql STABLE AS $$ {} $$"
    ledger.tables.connection.execute(replace.format(f"{body} {nap}").encode())
    yield ledger
    ledger.tables.connection.execute(replace.format(body).encode())


def crowd(ledger: Ledger) -> None:
    one = note(1, NOW)
    ledger.publish(one, *[reaction(n, one, NOW) for n in range(2, 14)])
    ledger.follow()


def runs() -> list[tuple[str, int | None]]:
    return [(run.outcome, run.rows) for run in JobRun.objects.filter(job=POPULAR.job).order_by("id")]


def test_a_refresh_says_its_rows_and_time_in_the_run_log(ledger: Ledger) -> None:
    crowd(ledger)
    assert refresh(POPULAR) == 1
    run = JobRun.objects.get(job="refresh-popular_events")
    assert (run.outcome, run.rows, run.error, run.instance) == ("done", 1, "", job_runs.instance())
    assert run.finished_at is not None
    assert run.duration_seconds is not None
    assert 0 < run.duration_seconds < 60


def test_every_view_can_be_refreshed_in_its_role(ledger: Ledger) -> None:
    for view in VIEWS:
        with connection.cursor() as cursor:
            allowed = refresh_role(view, cursor)
        assert (allowed.role, allowed.timeout) == (ROLE, "60s")
        assert refresh(view) is not None


def test_the_role_can_do_nothing_else(ledger: Ledger) -> None:
    with psycopg.connect(conninfo()) as other:
        other.execute(f"SET ROLE {ROLE}")
        for forbidden in (
            "SELECT * FROM relay_event",
            "DELETE FROM analytics_recent",
            "DROP MATERIALIZED VIEW popular_events",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), other.transaction():
                other.execute(forbidden.encode())


@pytest.mark.parametrize("rights", ["", "CREATEROLE"])
def test_a_database_user_of_any_rights_can_migrate_and_refresh(ledger: Ledger, rights: str) -> None:
    """With CREATEROLE it makes the role, without it does without; both own what they refresh."""
    with ledger.tables.connection.transaction(force_rollback=True):
        ledger.tables.connection.execute(f"ALTER ROLE {ROLE} RENAME TO relay_refresh_kept")
        ledger.tables.connection.execute(f"CREATE ROLE relay_plain {rights}")
        for view in VIEWS:
            ledger.tables.connection.execute(f"ALTER MATERIALIZED VIEW {view.name} OWNER TO relay_plain")
        ledger.tables.connection.execute("SET LOCAL ROLE relay_plain")
        ledger.tables.connection.execute(statement("role").encode())
        found = ledger.tables.rows("SELECT to_regrole('relay_refresh') IS NOT NULL")
        ((able,),) = ledger.tables.rows("SELECT coalesce(pg_has_role(to_regrole('relay_refresh'), 'SET'), false)")
    assert (found, able) == ([(bool(rights),)], bool(rights))


def test_where_there_is_no_role_the_registry_says_how_long(ledger: Ledger) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"REVOKE MAINTAIN ON popular_events FROM {ROLE}")
        try:
            assert refresh_role(POPULAR, cursor).role is None
            assert refresh(POPULAR) == 0
        finally:
            cursor.execute(f"GRANT MAINTAIN ON popular_events TO {ROLE}")


def test_the_time_of_the_role_is_the_time_of_a_refresh(slow: Ledger) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER ROLE {ROLE} SET statement_timeout = '200ms'")
        cursor.execute("SELECT set_config('analytics.nap', '30', false)")
        try:
            with pytest.raises(OperationalError, match="statement timeout"):
                refresh(POPULAR)
        finally:
            cursor.execute("SELECT set_config('analytics.nap', '', false)")
            cursor.execute(f"ALTER ROLE {ROLE} SET statement_timeout = '60s'")
    run = JobRun.objects.get(job=POPULAR.job)
    assert (run.outcome, run.rows) == ("failed", None)
    assert "statement timeout" in run.error


def test_a_refresh_is_skipped_while_the_last_one_runs(ledger: Ledger) -> None:
    with ledger.tables.connection.transaction():
        ledger.tables.connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, POPULAR.name])
        assert refresh(POPULAR) is None
        assert refresh(view_named("store_growth")) is not None  # each view has a lock of its own
    assert refresh(POPULAR) == 0
    assert runs() == [("skipped", None), ("done", 0)]


def test_of_many_at_once_one_refreshes(slow: Ledger) -> None:
    start = threading.Barrier(4)

    def one_of_many() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('analytics.nap', '0.5', false)")
        start.wait(10)
        refresh(POPULAR)
        connection.close()

    threads = [threading.Thread(target=one_of_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcome for outcome, _ in runs()) == ["done", "skipped", "skipped", "skipped"]


def test_people_read_the_view_while_it_is_refreshed_and_after_a_kill_the_next_refresh_works(slow: Ledger) -> None:
    crowd(slow)
    refresh(POPULAR)
    name = connection.settings_dict["NAME"]
    child = subprocess.Popen([sys.executable, "-c", SLOW_REFRESH, str(name)], stdout=subprocess.PIPE)
    try:
        wait_for(lambda: "running" in dict(runs()) and refreshing(slow), "a refresh under way", 30.0)
        assert PopularEvent.objects.count() == 1
        assert refresh(POPULAR) is None
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    wait_for(lambda: not refreshing(slow), "the end of the killed refresh", 10.0)

    assert refresh(POPULAR) == 1
    assert [outcome for outcome, _ in runs()] == ["done", "killed", "skipped", "done"]


def refreshing(ledger: Ledger) -> bool:
    """Whether a server process is at a refresh."""
    at_it = "SELECT FROM pg_stat_activity WHERE state = 'active' AND left(query, 7) = 'REFRESH'"
    return bool(ledger.tables.rows(at_it))


def test_nothing_is_refreshed_before_the_tables_were_read(ledger: Ledger) -> None:
    crowd(ledger)
    refresh(POPULAR)
    ledger.tables.connection.execute("UPDATE analytics_cursor SET epoch = 0")
    assert refresh(POPULAR) is None
    assert PopularEvent.objects.count() == 1
    assert "from the tables" in JobRun.objects.filter(outcome="skipped").get().error


def test_a_run_that_fails_says_why_and_one_that_is_skipped_too(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="no\0"), job_runs.run("a job"):
        raise ValueError("no\0" + "x" * 5_000)
    with job_runs.run("a job"):
        raise Skipped("not now")
    failed, skipped = JobRun.objects.order_by("id")
    assert (failed.outcome, failed.error[:15], len(failed.error)) == ("failed", "ValueError: nox", 999)
    assert (skipped.outcome, skipped.error) == ("skipped", "not now")

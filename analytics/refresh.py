"""Refreshes a materialized view while people read it, on one instance at a time.

Rule: an advisory lock of the transaction says who refreshes; whoever finds it taken skips and says so. The lock goes
with its connection, and the server looks once a second whether the client is still there, so a killed worker
holds nothing up. The statement runs as the role `relay_refresh`, which may do nothing else, with that role's
`statement_timeout`; where there is no such role (sql/role.sql), as the relay's user with the registry's.
"""

from dataclasses import dataclass

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from analytics import runlog
from analytics.registry import View
from analytics.runlog import Skipped

LOCK = 0x72656C61  # "rela"; the second half of the key is the view
ROLE = "relay_refresh"

LIMITS = (
    "SET LOCAL lock_timeout = '5s'",
    "SET LOCAL client_connection_check_interval = '1s'",
    "SET LOCAL max_parallel_workers_per_gather = 0",  # one core is enough for what nobody waits for
    "SET LOCAL work_mem = '64MB'",
    "SET LOCAL jit = off",
)


@dataclass(frozen=True, slots=True)
class Power:
    """As whom a refresh runs, and for how long at most: a text that PostgreSQL takes as a duration."""

    role: str | None
    timeout: str


def refresh(view: View) -> int | None:
    """Refresh one view and log the run; returns its rows, None when it was skipped. Raises OperationalError."""
    with runlog.run(view.job) as run:
        run.rows = _refresh(view, run)
    return run.rows


def power(view: View, cursor: CursorWrapper) -> Power:
    """The role and its time, if this user may take it on and it may refresh this view."""
    cursor.execute(
        "SELECT (SELECT split_part(setting, '=', 2) FROM unnest(rolconfig) AS setting "
        "        WHERE setting LIKE 'statement_timeout=%%') "
        "FROM pg_roles WHERE rolname = %s AND current_setting('server_version_num')::integer >= 170000 "
        "AND pg_has_role(oid, 'SET')",
        [ROLE],
    )
    found = cursor.fetchone()
    fallback = f"{view.timeout_seconds}s"
    if found is None:
        return Power(None, fallback)
    cursor.execute("SELECT has_table_privilege(%s, %s, 'MAINTAIN')", [ROLE, view.name])
    return Power(ROLE if cursor.fetchone()[0] else None, found[0] or fallback)


def _refresh(view: View, run: runlog.Run) -> int:
    name = connection.ops.quote_name(view.name)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [LOCK, view.name])
        if not cursor.fetchone()[0]:
            raise Skipped("the last refresh is still running")
        run.alone()
        cursor.execute("SELECT scan_id IS NOT NULL OR epoch = 0 FROM analytics_cursor")
        if cursor.fetchone()[0]:
            raise Skipped("the roll-up is being made from the tables")
        for limit in LIMITS:
            cursor.execute(limit)
        allowed = power(view, cursor)
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [allowed.timeout])
        if allowed.role is not None:
            cursor.execute(f"SET LOCAL ROLE {allowed.role}")
        cursor.execute(f"REFRESH MATERIALIZED VIEW CONCURRENTLY {name}")
        cursor.execute("SET LOCAL ROLE NONE")  # the transaction may be part of another one
        cursor.execute(f"SELECT count(*) FROM {name}")  # noqa: S608  a name of the registry
        return int(cursor.fetchone()[0])

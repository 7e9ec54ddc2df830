"""REFRESH MATERIALIZED VIEW CONCURRENTLY, on one instance at a time.

A transaction-level advisory lock excludes concurrent refreshes; a run that finds it taken is skipped. The server checks
the client's connection each second, so a killed worker releases its lock. The statement runs as the role
`relay_refresh` with that role's `statement_timeout`; without the role (sql/role.sql) as the relay's user with the
registry's timeout.
"""

from dataclasses import dataclass

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from analytics import job_runs
from analytics.job_runs import Skipped
from analytics.registry import View

LOCK = 0x72656C61  # "rela"; the second key is a hash of the view's name
ROLE = "relay_refresh"

LIMITS = (
    "SET LOCAL lock_timeout = '5s'",
    "SET LOCAL client_connection_check_interval = '1s'",
    "SET LOCAL max_parallel_workers_per_gather = 0",  # leave the other cores to clients
    "SET LOCAL work_mem = '64MB'",
    "SET LOCAL jit = off",
)


@dataclass(frozen=True, slots=True)
class RefreshRole:
    """`role`: None for the relay's user; `timeout`: statement_timeout as PostgreSQL writes it."""

    role: str | None
    timeout: str


def refresh(view: View) -> int | None:
    """Refresh a view and log the run; returns its number of rows, None if skipped. Raises OperationalError."""
    with job_runs.run(view.job) as run:
        run.rows = _refresh(view, run)
    return run.rows


def refresh_role(view: View, cursor: CursorWrapper) -> RefreshRole:
    """The role `relay_refresh` if this user may SET it and it may refresh the view, else the relay's user."""
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
        return RefreshRole(None, fallback)
    cursor.execute("SELECT has_table_privilege(%s, %s, 'MAINTAIN')", [ROLE, view.name])
    return RefreshRole(ROLE if cursor.fetchone()[0] else None, found[0] or fallback)


def _refresh(view: View, run: job_runs.Run) -> int:
    name = connection.ops.quote_name(view.name)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [LOCK, view.name])
        if not cursor.fetchone()[0]:
            raise Skipped("the last refresh is still running")
        run.has_lock()
        cursor.execute("SELECT scan_id IS NOT NULL OR epoch = 0 FROM analytics_cursor")
        if cursor.fetchone()[0]:
            raise Skipped("the roll-up is being rebuilt from the tables")
        for limit in LIMITS:
            cursor.execute(limit)
        allowed = refresh_role(view, cursor)
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [allowed.timeout])
        if allowed.role is not None:
            cursor.execute(f"SET LOCAL ROLE {allowed.role}")
        cursor.execute(f"REFRESH MATERIALIZED VIEW CONCURRENTLY {name}")
        cursor.execute("SET LOCAL ROLE NONE")  # this transaction may be nested
        cursor.execute(f"SELECT count(*) FROM {name}")  # noqa: S608  a name of the registry
        return int(cursor.fetchone()[0])

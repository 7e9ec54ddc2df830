"""Prepares the database: migrations, job schedule and the first administrator, on one machine at a time.

One PostgreSQL advisory lock covers all, so that many machines may start at once. A database of a newer version is
refused: this code does not know its schema.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import psycopg.sql
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from relay.storage.database import conninfo
from relayproject.database_connections import most_connections
from relayproject.runtime.datafolder import write_private
from relayproject.runtime.errors import StartupError, reason
from relayproject.runtime.say import say

PREPARE_LOCK = 0x72656C61_00000001  # keys of advisory locks: "rela" and a number
BEAT_LOCK = 0x72656C61_00000002
ADMINISTRATOR = "admin"
TELL_SECONDS = 5.0
LOCK_LOOK_SECONDS = 0.5
LOCK_TELL_SECONDS = 60.0

_LOCK_HOLDER = """
SELECT coalesce(host(a.client_addr), 'this machine'), extract(epoch FROM clock_timestamp() - a.xact_start)::int
FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.classid::bigint << 32 | l.objid::bigint = %s
"""


def connect() -> None:
    """Open Django's database connection; raises StartupError with the reason."""
    try:
        connection.ensure_connection()
    except OperationalError as error:
        raise StartupError(f"The database does not answer ({reason(error)}): check DATABASE_URL.") from error


@contextmanager
def prepare_lock() -> Iterator[None]:
    """Hold the advisory lock of the preparation; waits while another machine holds it, and says so once a minute.

    It has no limit: migrations of a large store take hours. It is the lock of a transaction on a connection of its own,
    so that it holds behind a transaction pooler too.
    """
    with psycopg.connect(conninfo(application_name="relay prepare"), prepare_threshold=None) as lock:
        lock.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        told = float("-inf")
        while lock.execute("SELECT pg_try_advisory_xact_lock(%s)", [PREPARE_LOCK]).fetchone() != (True,):
            if time.monotonic() - told >= LOCK_TELL_SECONDS:
                told = time.monotonic()
                say("prepare", f"waiting for another preparation of the database{_holder(lock)}")
            time.sleep(LOCK_LOOK_SECONDS)
        yield


def _holder(lock: "psycopg.Connection[tuple[Any, ...]]") -> str:
    # Else pg_stat_activity stays as it was at the first look of this transaction; pg_locks is always as of now.
    lock.execute("SELECT pg_stat_clear_snapshot()")
    row = lock.execute(_LOCK_HOLDER, [PREPARE_LOCK]).fetchone()
    return "" if row is None else f", of {row[0]}, whose transaction began {row[1]} s ago"


def too_few_connections() -> str | None:
    """A sentence if the server's max_connections is too small for this instance alone; None behind a pooler, whose
    limits are its own.
    """
    if settings.RELAY_DATABASE_POOLER != "none":
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
            " - coalesce(current_setting('reserved_connections', true)::int, 0)"
        )
        (there,) = cursor.fetchone()
    wanted = most_connections(settings)
    if wanted <= there:
        return None
    return (
        f"this instance may have {wanted} connections to PostgreSQL, whose max_connections leaves {there} to all "
        "instances: raise it, or lower RELAY_WORKERS, RELAY_PRIMARY_POOL_MAX or RELAY_DJANGO_THREADS"
    )


def refuse_newer_database() -> None:
    """Raise StartupError when the database has migrations that this code has not."""
    loader = MigrationLoader(connection)
    known = set(loader.disk_migrations) | {old for new in loader.disk_migrations.values() for old in new.replaces}
    unknown = sorted(f"{app}.{name}" for app, name in loader.applied_migrations if (app, name) not in known)
    if unknown:
        raise StartupError(
            f"The database was made by a newer version (it has {unknown[-1]}): update the relay, or use another one."
        )


def missing_migrations() -> list[str]:
    """Names of the migrations that this code has and the database has not."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def migrate() -> int:
    """Apply the missing migrations and return their number; raises StartupError for a newer database."""
    refuse_newer_database()
    missing = missing_migrations()
    if missing:
        say("prepare", f"applying {len(missing)} migrations, {missing[0]} to {missing[-1]}")
        call_command("migrate", interactive=False, verbosity=0)
    return len(missing)


PARAMETER_PRIVILEGES = 150_000
"""The first version of PostgreSQL in which an ordinary role can have the privilege."""

QUIET = {"log_min_error_statement": "panic", "log_error_verbosity": "terse"}
"""Settings with which PostgreSQL does not log a refused statement with all that a client has sent."""


def quiet_server_log() -> None:
    """Set QUIET for this role in this database, where the role may; it holds from the next connection on."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int")
        if cursor.fetchone()[0] < PARAMETER_PRIVILEGES:
            return
        for name, value in QUIET.items():
            cursor.execute(
                "SELECT current_setting(%s) <> %s AND has_parameter_privilege(%s, 'SET'), current_database()",
                [name, value, name],
            )
            wanted, database = cursor.fetchone()
            if wanted:
                cursor.execute(
                    psycopg.sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET {} = {}").format(
                        psycopg.sql.Identifier(database), psycopg.sql.Identifier(name), psycopg.sql.Literal(value)
                    )
                )


def install_schedule() -> int:
    """Add missing jobs to the schedule and keep operators' changes; returns how many entries changed."""
    from analytics.schedule import install

    return install()


def install_regions() -> int:
    """Add the regions of the settings at the first start; returns how many."""
    from replication.first_start import install

    return install()


def create_first_administrator(file: Path | None) -> str | None:
    """Create the administrator when there is no user at all; returns its generated password, or None.

    The password is written to `file`, if there is one, which its owner alone can read, before the user exists.
    """
    from django.contrib.auth.models import User

    if User.objects.exists():
        return None
    password = secrets.token_urlsafe(12)
    if file is not None:
        write_private(file, password + "\n")
    User.objects.create_superuser(ADMINISTRATOR, password=password)
    return password


def remove_old_password(file: Path) -> bool:
    """Delete the file with the first password once it no longer opens the admin; True if it was deleted."""
    from django.contrib.auth.models import User

    try:
        password = file.read_text().strip()
    except FileNotFoundError:
        return False
    user = User.objects.filter(username=ADMINISTRATOR, is_active=True).first()
    if user is not None and user.check_password(password):
        return False
    file.unlink()
    return True


def wait_until_prepared(seconds: float, tell: Callable[[str], object]) -> None:
    """Wait until another machine has applied all migrations; raises StartupError after `seconds`.

    `tell` is called at once and every five seconds with what is waited for.
    """
    started = time.monotonic()
    told = float("-inf")
    while missing := missing_migrations():
        now = time.monotonic()
        if now - told >= TELL_SECONDS:
            told = now
            tell(
                f"waiting for {len(missing)} migrations, the first of them {missing[0]}, to be applied by another "
                f"machine with the role migrate, or by `manage.py prepare` ({seconds - (now - started):.0f} s left)"
            )
        if now > started + seconds:
            raise StartupError(
                f"The database lacks {len(missing)} migrations ({missing[0]} is the first): "
                "run `manage.py serve --roles migrate` or `manage.py prepare` once."
            )
        time.sleep(0.5)
    refuse_newer_database()

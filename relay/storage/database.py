"""The relay's own connections: where they lead, and how they are set up.

The hot path uses psycopg's asynchronous interface; Django's connections serve the admin, the pages and the jobs. Both
come from the same settings.
"""

from typing import Any

from django.db import connections
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.conninfo import make_conninfo
from psycopg.types.string import ByteaBinaryLoader

CONNECT_SECONDS = 3

Connection = AsyncConnection[tuple[Any, ...]]


def conninfo(**extra: Any) -> str:
    """The connection string of the primary from Django's settings (in tests that of the test database)."""
    described = connections["default"].settings_dict
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    named = {name: described[key] for name, key in names.items() if described[key]}
    options = {k: v for k, v in described.get("OPTIONS", {}).items() if k not in _DJANGO_OPTIONS}
    if "options" in options and "options" in extra:
        extra["options"] = f"{options['options']} {extra['options']}"
    return make_conninfo(**{**options, **named, "connect_timeout": CONNECT_SECONDS, **extra})


_DJANGO_OPTIONS = frozenset({"pool", "server_side_binding", "isolation_level", "assume_role"})


async def configure(connection: Connection) -> None:
    """Have text returned as the stored bytes, and statements prepared on their second use."""
    connection.cursor_factory = AsyncRawCursor
    connection.adapters.register_loader("text", ByteaBinaryLoader)
    connection.adapters.register_loader("bytea", ByteaBinaryLoader)
    connection.prepare_threshold = 1
    connection.prepared_max = 500


INDEX_WALKS_ONLY = {"enable_bitmapscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
"""For queries, all of which are written as walks along indexes: a plan made on empty tables must walk too."""


async def connect(*, application: str, statement_seconds: float, **settings: str) -> Connection:
    """A new connection, with `settings` of PostgreSQL. Raises psycopg.OperationalError.

    Prepared statements are planned once, without their values: a plan for each query costs PostgreSQL 0.35 ms, as much
    as a hundred rows, and the statements are written so that the best plan does not depend on values.
    """
    chosen = {
        "statement_timeout": str(round(statement_seconds * 1000)),
        "default_transaction_isolation": r"read\ committed",  # what decides under the lock must see the last commit
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "jit": "off",
        **settings,
    }
    options = " ".join(f"-c {name}={value}" for name, value in chosen.items())
    connection: Connection = await AsyncConnection.connect(
        conninfo(application_name=application, options=options),
        autocommit=True,
    )
    await configure(connection)
    return connection

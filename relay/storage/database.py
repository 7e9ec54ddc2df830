"""Where the relay's own connections lead, and how they are set up.

The hot path speaks to PostgreSQL through psycopg's asynchronous interface; Django's connections serve the admin,
the pages and the jobs. Both are described by the same settings.
"""

from typing import Any

from django.db import connections
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.conninfo import make_conninfo
from psycopg.types.string import ByteaBinaryLoader

Connection = AsyncConnection[tuple[Any, ...]]

CONNECT_SECONDS = 3


def conninfo(**extra: Any) -> str:
    """The connection string of the primary, as Django knows it (in tests that of the test database)."""
    described = connections["default"].settings_dict
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    named = {name: described[key] for name, key in names.items() if described[key]}
    options = {k: v for k, v in described.get("OPTIONS", {}).items() if k not in _DJANGO_OPTIONS}
    return make_conninfo(**{**options, **named, "connect_timeout": CONNECT_SECONDS, **extra})


_DJANGO_OPTIONS = frozenset({"pool", "server_side_binding", "isolation_level", "assume_role"})


async def configure(connection: Connection) -> None:
    """Make text come back as the bytes that it is stored in, and statements be prepared on their second use."""
    connection.cursor_factory = AsyncRawCursor
    connection.adapters.register_loader("text", ByteaBinaryLoader)
    connection.adapters.register_loader("bytea", ByteaBinaryLoader)
    connection.prepare_threshold = 1
    connection.prepared_max = 500


async def connect(*, application: str, statement_seconds: float) -> Connection:
    """A connection of its own. Raises psycopg.OperationalError when the server cannot be reached.

    Its prepared statements are planned once, without their values: a plan for each query costs PostgreSQL 0.35 ms, as
    much as a hundred rows, and the statements are written so that values do not change the best way.
    """
    options = f"-c statement_timeout={round(statement_seconds * 1000)} -c plan_cache_mode=force_generic_plan -c jit=off"
    connection: Connection = await AsyncConnection.connect(
        conninfo(application_name=application, options=options),
        autocommit=True,
    )
    await configure(connection)
    return connection

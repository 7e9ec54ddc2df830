"""Where the relay's own connections lead, and how they are set up.

The hot path speaks to PostgreSQL through psycopg's asynchronous interface; Django's connections serve the admin,
the pages and the jobs. Both are described by the same settings.
"""

import asyncio
from typing import Any, TypeVar

from django.db import connections
from psycopg import AsyncConnection, AsyncRawCursor, waiting
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.types.string import ByteaBinaryLoader

CONNECT_SECONDS = 3

Result = TypeVar("Result")


class Connection(AsyncConnection[tuple[Any, ...]]):
    """psycopg's connection; a cancelled wait gives it up at once.

    psycopg would ask the server to cancel the statement and wait up to 10 s for it, which a server that hangs never
    does; `statement_timeout` ends the statement as well.
    """

    async def wait(
        self,
        gen: PQGen[Result],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's signature
    ) -> Result:
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except asyncio.CancelledError:
            self.pgconn.finish()
            raise


def conninfo(**extra: Any) -> str:
    """The connection string of the primary, as Django knows it (in tests that of the test database)."""
    described = connections["default"].settings_dict
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    named = {name: described[key] for name, key in names.items() if described[key]}
    options = {k: v for k, v in described.get("OPTIONS", {}).items() if k not in _DJANGO_OPTIONS}
    if "options" in options and "options" in extra:
        extra["options"] = f"{options['options']} {extra['options']}"
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
    options = (
        f"-c statement_timeout={round(statement_seconds * 1000)} -c plan_cache_mode=force_generic_plan -c jit=off "
        r"-c default_transaction_isolation=read\ committed"  # what decides under the lock must see the last commit
    )
    connection = await Connection.connect(
        conninfo(application_name=application, options=options),
        autocommit=True,
    )
    await configure(connection)
    return connection

"""The relay's own connections: where they lead, and how they are set up.

The hot path uses psycopg's asynchronous interface; Django's connections serve the admin, the pages and the jobs. Both
come from the same settings.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from django.conf import settings
from django.db import connections
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.string import ByteaBinaryLoader

UNDECIDED_SECONDS = 1.0
"""How long a host may take to answer after another one refused; then it is not waited for: otherwise a frozen old
primary would delay each attempt by the time-out of a connection, also the one that finds the promoted server.
"""

NAME_BYTES = 63
"""PostgreSQL cuts application_name here."""


class Connection(AsyncConnection[tuple[Any, ...]]):
    """A connection to PostgreSQL, or to a pooler before it.

    prelude: what precedes each statement in its transaction, "" for nothing: behind a transaction pooler a session's
        settings would be those of other clients too.
    is_named: statements are prepared under names, which a transaction pooler need not know.
    has_one_snapshot: all statements of a transaction have one.
    """

    prelude: str = ""
    is_named: bool = True
    has_one_snapshot: bool = False


def conninfo(alias: str = "default", **extra: Any) -> str:
    """The connection string of the primary, or of the server `alias`, from Django's settings (in tests that of the test
    database).
    """
    described = connections[alias].settings_dict
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    named = {name: described[key] for name, key in names.items() if described[key]}
    options = {k: v for k, v in described.get("OPTIONS", {}).items() if k not in _DJANGO_OPTIONS}
    if "options" in options and "options" in extra:
        extra["options"] = f"{options['options']} {extra['options']}"
    return make_conninfo(**{"connect_timeout": settings.RELAY_CONNECT_SECONDS, **options, **named, **extra})


_DJANGO_OPTIONS = frozenset({"pool", "server_side_binding", "isolation_level", "assume_role", "prepare_threshold"})


def application_name(role: str) -> str:
    """The name of a connection in pg_stat_activity: role, instance, and the number of the worker."""
    worker = f"/{settings.RELAY_WORKER}" if settings.RELAY_WORKER else ""
    return f"{role} {settings.RELAY_INSTANCE}".encode("ascii", "replace").decode()[: NAME_BYTES - len(worker)] + worker


INDEX_WALKS_ONLY = {"enable_bitmapscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
"""For queries, all of which are written as walks along indexes: a plan made on empty tables must walk too."""

ONE_SNAPSHOT = "repeatable read"

OF_CLIENTS = {**INDEX_WALKS_ONLY, "default_transaction_isolation": ONE_SNAPSHOT}
"""For connections that run nothing but clients' queries: those that are sent together share a snapshot."""


async def connect(*, application: str, statement_seconds: float, alias: str = "default", **chosen: str) -> Connection:
    """A new connection to the server `alias` for the role `application`, with settings of PostgreSQL. Raises
    psycopg.OperationalError.

    Prepared statements are planned once, without their values: a plan for each query costs PostgreSQL 0.35 ms, as much
    as a hundred rows, and the statements are written so that the best plan does not depend on values.
    """
    session = {
        "statement_timeout": str(round(statement_seconds * 1000)),
        "default_transaction_isolation": "read committed",  # what decides under the lock must see the last commit
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "jit": "off",
        **chosen,
    }
    name = application_name(application)
    pooler = settings.RELAY_DATABASE_POOLER
    if pooler == "none":
        options = " ".join("-c {}={}".format(key, value.replace(" ", r"\ ")) for key, value in session.items())
        connection = await _first_of(_hosts(conninfo(alias, application_name=name, options=options)))
        if session["default_transaction_isolation"] == ONE_SNAPSHOT:
            # A pooler that ignores `options` would give each statement a snapshot of its own.
            cursor = await connection.execute("SHOW transaction_isolation")
            connection.has_one_snapshot = await cursor.fetchone() == (ONE_SNAPSHOT,)
    else:
        del session["default_transaction_isolation"]
        session["transaction_isolation"] = "read committed"
        connection = await _first_of(_hosts(conninfo(alias, application_name=name)))
        connection.prelude = local_settings(session)
        connection.is_named = pooler == "transaction-prepared"
    connection.cursor_factory = AsyncRawCursor
    connection.adapters.register_loader("text", ByteaBinaryLoader)
    connection.adapters.register_loader("bytea", ByteaBinaryLoader)
    return connection


def local_settings(session: Mapping[str, str]) -> str:
    """A statement that makes these settings for the rest of its transaction. The values are the relay's own."""
    return "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in session.items())


def _hosts(info: str) -> list[str]:
    """A connection string for each host of `info`."""
    described = conninfo_to_dict(info)
    hosts = str(described.get("host") or "").split(",")
    if len(hosts) == 1 or described.get("hostaddr"):
        return [info]
    ports = str(described.get("port") or "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return [make_conninfo(info, host=host, port=port or None) for host, port in zip(hosts, ports, strict=True)]


async def _first_of(hosts: Sequence[str]) -> Connection:
    """The first connection that one of `hosts` accepts, all of which are tried at once. Raises the last error."""
    if len(hosts) == 1:
        return await _connect(hosts[0])
    attempts = [asyncio.ensure_future(_connect(host)) for host in hosts]
    waiting, seconds, chosen = set(attempts), None, None
    error: psycopg.Error | OSError = psycopg.OperationalError("no host was tried")
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            for attempt in done:
                try:
                    chosen = attempt.result()
                except (psycopg.Error, OSError) as failed:
                    error, seconds = failed, UNDECIDED_SECONDS
            if chosen is not None:
                return chosen
        raise error
    finally:
        for attempt in attempts:
            attempt.cancel()
        for result in await asyncio.gather(*attempts, return_exceptions=True):
            if isinstance(result, Connection) and result is not chosen:
                await result.close()


async def _connect(info: str) -> Connection:
    return await Connection.connect(info, autocommit=True, prepare_threshold=None)

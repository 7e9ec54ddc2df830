"""Explains a query: sends the statements that a REQ of its filters would send, each with its plan.

Rule: reads only, in a connection that is set up as those of `relay.storage.reads`, so that the plan is theirs.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

import psycopg
from django.conf import settings
from msgspec import Struct

from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.filters import Filter
from relay.protocol.visibility import division, readable_part
from relay.storage.database import INDEX_WALKS_ONLY, Connection, connect
from relay.storage.filter_sql import BOUNDS, LARGE, Bounds, Statement, attempts, needs_query, query_statement
from relay.storage.query_plan import PlanFigures, figures_of
from relay.storage.read_result import Stopped, part_of

PLAN_SECONDS = 5.0
"""Time-out of a plan without a run."""


class Outcome(StrEnum):
    """What the relay does after a statement."""

    SENT = "sent"
    STOPPED = "stopped at a bound"
    LARGE = "texts above 1 MiB"
    VANISHING = "rows of vanished keys"
    TIMED_OUT = "timed out"
    NOT_RUN = "not run"


class Attempt(Struct, frozen=True):
    """A statement, the object that EXPLAIN returned for it, and what it answered.

    `events` and `text_bytes`: of the answers to all filters, of which some may share an event.
    """

    statement: Statement
    explained: dict[str, Any]
    outcome: Outcome
    events: int = 0
    text_bytes: int = 0

    @property
    def figures(self) -> PlanFigures:
        """What was read."""
        return figures_of(self.explained)


class Explanation(Struct, frozen=True):
    """`asked`: the filters that need the database; without any there is no attempt."""

    asked: Sequence[Filter]
    attempts: Sequence[Attempt]
    index_comments: dict[str, str]
    """Index -> the question that it serves."""

    @property
    def is_refused(self) -> bool:
        """True if the relay answers with an error, because every statement stopped at its bound."""
        return len(self.attempts) > 0 and self.attempts[-1].outcome is Outcome.STOPPED


def explain(
    filters: Sequence[Filter],
    audience: Audience = ANONYMOUS,
    *,
    analyze: bool = True,
    seconds: float = 5.0,
    bounds: Bounds = BOUNDS,
) -> Explanation:
    """Explain the query of `filters` by `audience`. With `analyze` the statements run, each for at most `seconds`.

    Raises psycopg.Error if the database fails.
    """
    return asyncio.run(_explain(filters, audience, analyze, seconds, bounds))


def asked_for(filters: Sequence[Filter], audience: Audience) -> list[Filter]:
    """The filters of the statement of a REQ of `filters`, as `relay.storage.reads` makes them: without kinds that
    `audience` may not read, and divided by what makes private events readable.
    """
    readable = [readable_part(flt, audience) for flt in filters if needs_query(flt, audience)]
    return [part for flt in readable for part in division(flt, audience)] if audience else readable


async def _explain(
    filters: Sequence[Filter], audience: Audience, analyze: bool, seconds: float, bounds: Bounds
) -> Explanation:
    asked = asked_for(filters, audience)
    async with connected() as connection:
        attempts = await attempts_of(connection, asked, audience, seconds if analyze else 0, bounds) if asked else []
        return Explanation(asked, attempts, await _index_comments(connection))


@asynccontextmanager
async def connected() -> AsyncIterator[Connection]:
    """A connection that can only read, otherwise like those for queries. Raises psycopg.Error."""
    if settings.RELAY_DATABASE_POOLER != "none":
        raise psycopg.NotSupportedError(
            "it prepares statements in a session: DATABASE_URL must lead to PostgreSQL itself, "
            "and RELAY_DATABASE_POOLER must be none"
        )
    connection = await connect(application="relay explain", statement_seconds=PLAN_SECONDS, **INDEX_WALKS_ONLY)
    async with connection:
        # Not while connecting: of several hosts only one whose sessions can write is taken.
        await connection.execute("SET default_transaction_read_only = on")
        yield connection


async def attempts_of(
    connection: Connection, filters: Sequence[Filter], audience: Audience, seconds: float, bounds: Bounds
) -> list[Attempt]:
    """The statements that `relay.storage.reads` would send one after the other; run for `seconds` each, 0: not run.

    Raises psycopg.Error.
    """
    now, found = int(time.time()), list[Attempt]()
    keyed = vanishing = False
    number = 0
    while True:
        statement = query_statement(filters, now, audience, bounds, attempt=number, keyed=keyed, vanishing=vanishing)
        attempt = await _attempt(connection, statement, filters, seconds, vanishing)
        found.append(attempt)
        match attempt.outcome:
            case Outcome.VANISHING:
                vanishing = True
            case Outcome.LARGE if not keyed:
                keyed = True
            case Outcome.STOPPED if number + 1 < attempts(filters, audience):
                number += 1
            case _:
                return found


async def _attempt(
    connection: Connection, statement: Statement, filters: Sequence[Filter], seconds: float, vanishing: bool
) -> Attempt:
    if not seconds:
        return Attempt(statement, await _plan(connection, statement, False), Outcome.NOT_RUN)
    try:
        await _limit(connection, seconds)
        explained = await _plan(connection, statement, True)
        cursor = await connection.execute(statement.text.encode(), statement.parameters, binary=True, prepare=False)
    except psycopg.errors.QueryCanceled:
        await _limit(connection, PLAN_SECONDS)
        return Attempt(statement, await _plan(connection, statement, False), Outcome.TIMED_OUT)
    _, has_vanishing, *columns = (await cursor.fetchone()) or (0, False)
    if has_vanishing and not vanishing:
        return Attempt(statement, explained, Outcome.VANISHING)
    if LARGE in columns:
        return Attempt(statement, explained, Outcome.LARGE)
    events = size = 0
    try:
        for lines, flt, has_end in zip(columns, filters, statement.ends, strict=True):
            part = part_of(lines, flt, has_end)
            events += len(part.items)
            size += sum(map(len, part.texts)) + sum(key.size for key in part.keys)
    except Stopped:
        return Attempt(statement, explained, Outcome.STOPPED)
    return Attempt(statement, explained, Outcome.SENT, events, size)


async def _plan(connection: Connection, statement: Statement, analyze: bool) -> dict[str, Any]:
    """The plan of a prepared statement, made without its values. Without TIMING, which would double what rows cost."""
    options = "ANALYZE, TIMING OFF, BUFFERS, FORMAT JSON" if analyze else "FORMAT JSON"
    values = ", ".join(["%s"] * len(statement.parameters))
    run = f"EXPLAIN ({options}) EXECUTE explained{f' ({values})' if values else ''}"
    await connection.execute(b"DEALLOCATE ALL", prepare=False)
    await connection.execute(b"PREPARE explained AS " + statement.text.encode(), prepare=False)
    cursor = psycopg.AsyncClientCursor(connection)
    await cursor.execute(run.encode(), statement.parameters or None)
    ((found,),) = await cursor.fetchall()
    return dict(found[0])


async def _limit(connection: Connection, seconds: float) -> None:
    milliseconds = max(1, round(seconds * 1_000))
    await connection.execute(f"SET statement_timeout = {milliseconds}".encode(), prepare=False)


_INDEX_COMMENTS = """
SELECT c.relname, obj_description(c.oid, 'pg_class') FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid IN ('relay_event'::regclass, 'relay_tag'::regclass)
"""


async def _index_comments(connection: Connection) -> dict[str, str]:
    cursor = await connection.execute(_INDEX_COMMENTS.encode())
    return {
        str(name): comment.decode() if isinstance(comment, bytes) else comment or ""
        for name, comment in await cursor.fetchall()
    }

"""Queries with a position: what comes back is exactly the state after that change.

Rule: rows and position are read in one statement, so they belong to one snapshot, and a snapshot is a prefix
of the order.
"""

import time
from collections.abc import Sequence
from typing import Any

import psycopg
from msgspec import Struct
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from relay.protocol.errors import Failed
from relay.protocol.filters import Filter
from relay.storage.database import Connection, read_pool
from relay.storage.filter_sql import query_statement

Row = tuple[int, bytes, bytes]
"""created_at (Unix seconds), id (32 bytes), json (UTF-8)."""


class Result(Struct, frozen=True, gc=False):
    """Events newest first, ties by the lowest id, each once, as JSON texts; the state after change `position`."""

    position: int
    events: Sequence[bytes]


class Reads:
    """The read side of one process: a pool of connections to the database."""

    def __init__(self, pool_size: int, query_seconds: float) -> None:
        self.queries = 0
        self.failures = 0
        self._pool: AsyncConnectionPool[Connection] = read_pool(pool_size, query_seconds=query_seconds)

    async def open(self) -> None:
        """Open the pool; does not wait for the database, so that a relay can start before it."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close(timeout=2)

    @property
    def waiting(self) -> int:
        """How many queries wait for a connection now."""
        return int(self._pool.get_stats().get("requests_waiting", 0))

    async def query(self, filters: Sequence[Filter]) -> Result:
        """What is stored for `filters` (their union), with its position.

        Raises Failed "query timed out" when the time budget is used up (01-S11) and Failed for a database
        that cannot answer.
        """
        self.queries += 1
        asked = query_statement(filters, int(time.time()))
        rows = await self.fetch(asked.text, asked.parameters)
        return _result(rows, filters)

    async def fetch(self, text: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with numbered parameters; raises Failed as `query` does."""
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(text.encode(), parameters, binary=True)
                return await cursor.fetchall()
        except (psycopg.errors.QueryCanceled, PoolTimeout) as error:
            self.failures += 1
            raise Failed("query timed out") from error
        except (psycopg.Error, TooManyRequests) as error:
            self.failures += 1
            raise Failed("the database cannot answer now, try again") from error


def _result(rows: Sequence[tuple[Any, ...]], filters: Sequence[Filter]) -> Result:
    position = 0
    by_filter: dict[int, list[Row]] = {}
    for number, created_at, event_id, text in rows:
        if number is None:
            position = created_at
        elif number in by_filter:
            by_filter[number].append((created_at, event_id, text))
        else:
            by_filter[number] = [(created_at, event_id, text)]
    pages = [_page(found, filters[number]) for number, found in by_filter.items()]
    if len(pages) == 1:
        return Result(position, [row[2] for row in pages[0]])
    merged = {row[1]: row for page in pages for row in page}
    ordered = sorted(merged.values(), key=lambda row: (-row[0], row[1]))
    return Result(position, [row[2] for row in ordered])


def _page(rows: list[Row], flt: Filter) -> list[Row]:
    """Cut as `relay.changes.overlay.cut` does: the relay's own cap takes the whole boundary second (01-F18)."""
    if len(rows) <= flt.limit:
        return rows
    end = flt.limit
    boundary = rows[end - 1][0]
    while end < len(rows) and rows[end][0] == boundary:
        end += 1
    return rows[:end]

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
from relay.storage.filter_sql import asks, query_statement

_ID = slice(len(b'{"id":"'), len(b'{"id":"') + 64)
_CREATED_AT = len(b'{"id":"","pubkey":"","created_at":') + 128
"""Where id and time stand in a stored text, which is written in a fixed order (relay.protocol.event)."""


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
        ((position, *found),) = await self.fetch(asked.text, asked.parameters)
        asking = [flt for flt in filters if asks(flt)]
        pages = [_page(texts.split(b"\n"), flt) for texts, flt in zip(found, asking, strict=True) if texts is not None]
        return Result(position, pages[0] if len(pages) == 1 else _merged(pages))

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


def _created_at(text: bytes) -> int:
    return int(text[_CREATED_AT : text.index(b",", _CREATED_AT)])


def _merged(pages: Sequence[Sequence[bytes]]) -> Sequence[bytes]:
    """The union of pages in one order, each event once (01-F14)."""
    texts = {text[_ID]: text for page in pages for text in page}
    return sorted(texts.values(), key=lambda text: (-_created_at(text), text[_ID]))


def _page(texts: list[bytes], flt: Filter) -> list[bytes]:
    """Cut as `relay.changes.overlay.cut` does: the relay's own cap takes the whole boundary second (01-F18)."""
    if len(texts) <= flt.limit:
        return texts
    end = flt.limit
    boundary = _created_at(texts[end - 1])
    while end < len(texts) and _created_at(texts[end]) == boundary:
        end += 1
    return texts[:end]

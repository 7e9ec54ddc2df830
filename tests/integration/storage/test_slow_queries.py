"""Queries that run long in PostgreSQL are noted by their shape, also those that no client waits for any more."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from relay.protocol.errors import Failed
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.storage.filter_sql import Bounds
from relay.storage.reads import Reads
from relay.storage.slow_queries import SlowQueries
from tests.events import NOW, unsigned_event
from tests.integration.storage.bulk import copy_in
from tests.integration.storage.scribe import Tables, wait_until_answering

pytestmark = pytest.mark.django_db

WANTED = [parse_filter({"kinds": [1], "limit": 10}, Limits())]
SHAPE = "kinds:1 limit:10"
PATIENCE = 10.0
"""Seconds after which a test gives up."""


@contextmanager
def locked(tables: Tables) -> Iterator[None]:
    """A statement that reads events waits until the end of the block."""
    with tables.connection.transaction():
        tables.connection.execute("LOCK TABLE relay_event IN ACCESS EXCLUSIVE MODE")
        yield


async def until_noted(noted: SlowQueries, number: int = 1) -> None:
    async with asyncio.timeout(PATIENCE):
        while sum(shape.slow for shape in noted.shown()) < number:
            await asyncio.sleep(0.01)


async def test_a_slow_query_is_noted_with_the_time_that_its_statement_ran(reads: Reads, tables: Tables) -> None:
    noted = SlowQueries(0.05)
    reads.watch(noted)
    with locked(tables):
        asked = asyncio.ensure_future(reads.query(WANTED))
        await asyncio.sleep(0.1)  # the least time that the statement must run
    await asked

    await until_noted(noted)
    (shape,) = noted.shown()
    assert shape.shape == SHAPE
    assert shape.longest_ms >= 50
    assert noted.counts == {"kinds": 1}


async def test_a_quick_query_is_not_noted(reads: Reads) -> None:
    noted = SlowQueries(PATIENCE)
    reads.watch(noted)

    await reads.query(WANTED)

    assert len(noted) == 0


async def test_a_query_that_timed_out_is_noted(tables: Tables) -> None:
    noted = SlowQueries(0.05)
    reads = Reads.of_primary(1, 0.2)
    reads.watch(noted)
    reads.open()
    await wait_until_answering(reads)
    with locked(tables):
        with pytest.raises(Failed, match="query timed out"):
            await reads.query(WANTED)
        await until_noted(noted)  # its client has left, PostgreSQL ends it
    await reads.close()

    assert {shape.shape for shape in noted.shown()} == {SHAPE}


async def test_a_query_that_stops_at_a_bound_is_noted(reads: Reads, tables: Tables) -> None:
    copy_in(tables, [unsigned_event(created_at=NOW - n, tags=[["t", "common"]]) for n in range(50)])
    noted = SlowQueries(PATIENCE)
    reads.watch(noted)
    reads.attempts.bounds = Bounds(walk_rows=8, most_rows=16, recent_rows=16)

    await reads.query([parse_filter({"kinds": [9], "#t": ["common"]}, Limits())])

    assert [(shape.shape, shape.stopped) for shape in noted.shown()] == [("kinds:1 #t:1 limit:1000", 1)]

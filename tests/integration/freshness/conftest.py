"""The database of the storage tests, without instances that other tests left registered."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from relay.protocol.errors import Failed
from relay.storage.primary import Primary
from tests.integration.storage.conftest import database
from tests.integration.storage.scribe import Tables

__all__ = ["database", "primary", "tables"]


@pytest.fixture
def tables(database: Tables) -> Iterator[Tables]:
    database.clear()
    database.forget_instances()
    yield database
    database.forget_instances()


@pytest.fixture
async def primary(tables: Tables) -> AsyncIterator[Primary]:
    made = Primary(5.0)
    made.open()
    await until_answering(made)
    yield made
    await made.close()


async def until_answering(primary: Primary) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                await primary.position()
            except Failed:
                await asyncio.sleep(0.02)
            else:
                return

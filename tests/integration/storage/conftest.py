"""The test database, its tables emptied before each test, and the two sides of the storage engine."""

from collections.abc import AsyncIterator, Iterator

import pytest

from relay.storage.primary import Primary
from relay.storage.reads import Reads
from tests.integration.storage.plans import Plans
from tests.integration.storage.scribe import Scribe, Tables, wait_for_primary, wait_until_answering


@pytest.fixture(scope="session")
def database(django_db_setup: None) -> Iterator[Tables]:
    tables = Tables()
    yield tables
    tables.close()


@pytest.fixture
def tables(database: Tables) -> Tables:
    database.clear()
    return database


@pytest.fixture
def plans(tables: Tables) -> Iterator[Plans]:
    made = Plans()
    yield made
    made.close()


@pytest.fixture
async def scribe(tables: Tables) -> AsyncIterator[Scribe]:
    made = Scribe()
    made.writer.start()
    yield made
    await made.writer.stop(5)


@pytest.fixture
async def reads(tables: Tables) -> AsyncIterator[Reads]:
    made = Reads.of_primary(3, 5.0)
    made.open()
    await wait_until_answering(made)
    yield made
    await made.close()


@pytest.fixture
async def primary(tables: Tables) -> AsyncIterator[Primary]:
    made = Primary(5.0)
    made.open()
    await wait_for_primary(made)
    yield made
    await made.close()

"""The database and the relays of other tests, without instances that those left registered."""

from collections.abc import Iterator

import pytest

from tests.integration.order.conftest import start_relay
from tests.integration.storage.conftest import database, reads
from tests.integration.storage.scribe import Tables

__all__ = ["database", "reads", "start_relay", "tables"]


@pytest.fixture
def tables(database: Tables) -> Iterator[Tables]:
    database.clear()
    database.forget_instances()
    yield database
    database.forget_instances()

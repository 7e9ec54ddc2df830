"""The tables of the relay and of the roll-up, emptied before each test, and a clock that stands still."""

from collections.abc import Iterator

import pytest

from tests.integration.analytics.ledger import Ledger
from tests.integration.storage.conftest import database  # noqa: F401  a fixture
from tests.integration.storage.scribe import Tables


@pytest.fixture
def ledger(database: Tables, transactional_db: None) -> Iterator[Ledger]:  # noqa: F811
    """The roll-up after a first run over an empty store, at `NOW`."""
    made = Ledger(database)
    made.clear()
    yield made
    made.clear()
    made.close()

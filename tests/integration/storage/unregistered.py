"""The tables of the storage tests, without instances that other tests left registered."""

from collections.abc import Iterator

import pytest

from tests.integration.storage.scribe import Tables

__all__ = ["tables"]


@pytest.fixture
def tables(database: Tables) -> Iterator[Tables]:
    database.clear()
    database.forget_instances()
    yield database
    database.forget_instances()

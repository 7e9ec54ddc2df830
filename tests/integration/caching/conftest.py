"""The database of the storage tests and the relays of the order's, with nobody's note left in the database."""

from collections.abc import Iterator

import pytest

from tests.integration.order.conftest import start_relay
from tests.integration.storage.conftest import database, reads
from tests.integration.storage.scribe import Tables

__all__ = ["database", "reads", "start_relay", "tables"]


@pytest.fixture
def tables(database: Tables) -> Iterator[Tables]:
    database.clear()
    forget_notes(database)
    yield database
    forget_notes(database)


def forget_notes(tables: Tables) -> None:
    """A process that ended while it stood apart left its note, and for some seconds nobody would believe the cache; one
    that was killed left word that it is at work, and nobody would be alone.
    """
    tables.connection.execute("DELETE FROM relay_unannounced")
    tables.connection.execute("DELETE FROM relay_instance")
    tables.connection.execute("UPDATE relay_sole SET serial = serial + 1, instance = NULL")

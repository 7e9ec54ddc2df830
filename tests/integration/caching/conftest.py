"""The database and the relays of other tests."""

from tests.integration.order.conftest import start_relay
from tests.integration.storage.conftest import database, reads
from tests.integration.storage.unregistered import tables

__all__ = ["database", "reads", "start_relay", "tables"]

"""The database of the storage tests."""

from tests.integration.storage.conftest import database, primary
from tests.integration.storage.unregistered import tables

__all__ = ["database", "primary", "tables"]

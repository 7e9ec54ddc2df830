"""The database, writer and tables of the storage tests."""

from tests.integration.storage.conftest import database, scribe, tables

__all__ = ["database", "scribe", "tables"]

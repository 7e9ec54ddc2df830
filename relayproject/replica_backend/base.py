"""Django's backend for PostgreSQL, in which no wait for an answer is without a limit.

A replica whose processes are stopped, or whose disk hangs, gives no answer while its kernel confirms what is sent:
neither keepalives nor its own statement_timeout end a statement then. Another server has the answer.
"""

from collections.abc import Generator
from types import ModuleType
from typing import Any, TypeVar

import psycopg
from django.conf import settings
from django.db.backends.postgresql import base

MARGIN_SECONDS = 2.0
"""For the way to the server and back, beyond the limit that it has itself."""

Answer = TypeVar("Answer")


class Connection(psycopg.Connection[Any]):
    """Raises OperationalError, and is closed, when an answer has not come in time."""

    def wait(self, gen: Generator[Any, Any, Answer], interval: float = 0.1, timeout: float | None = None) -> Answer:
        """psycopg: wait for an answer, each in its turn."""
        seconds = settings.RELAY_STATEMENT_SECONDS + MARGIN_SECONDS if timeout is None else timeout
        try:
            return super().wait(gen, interval, seconds)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                self.close()
            raise


class _Psycopg(ModuleType):
    """The module, with connections that have a limit."""

    connect = Connection.connect

    def __getattr__(self, name: str) -> Any:
        return getattr(psycopg, name)


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection of Django's."""

    Database = _Psycopg("psycopg")

"""Django's backend for PostgreSQL, in which no wait for an answer is without a limit.

A replica whose processes are stopped, or whose disk hangs, gives no answer while its kernel confirms what is sent:
neither keepalives nor its own statement_timeout end a statement then. Another server has the answer.
"""

from collections.abc import Generator
from contextlib import suppress
from time import monotonic
from types import ModuleType
from typing import Any, TypeVar

import psycopg
from django.conf import settings
from django.db.backends.postgresql import base

CANCEL_SECONDS = 1.0
"""For cancelling the statement on the server."""

Answer = TypeVar("Answer")


class Silent(psycopg.errors.QueryCanceled):
    """The replica gave no answer in time; for callers as if it had ended the statement itself."""


class Connection(psycopg.Connection[Any]):
    """Raises Silent, and is closed, when an answer has not come in time."""

    def wait(self, gen: Generator[Any, Any, Answer], interval: float = 0.1, timeout: float | None = None) -> Answer:
        """psycopg: wait for an answer, each in its turn."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        seconds = settings.REPLICA_ANSWER_SECONDS
        begin = monotonic()
        try:
            return super().wait(gen, interval, seconds)
        except psycopg.OperationalError as error:
            if monotonic() - begin < seconds:
                raise
            with suppress(psycopg.Error):
                self.cancel_safe(timeout=CANCEL_SECONDS)
            self.close()
            raise Silent(f"the replica did not answer within {seconds:g} s") from error


class _Psycopg(ModuleType):
    """The module, with connections that have a limit."""

    connect = Connection.connect

    def __getattr__(self, name: str) -> Any:
        return getattr(psycopg, name)


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection of Django's."""

    Database = _Psycopg("psycopg")

"""Which store the database holds: its identity, its epoch, and the generation of the server (sql/store.sql).

Rule: the name of the store stands in every bus message, cache key, cursor and queue name; what names another store is
dropped.
"""

from time import monotonic

from django.db import connection
from msgspec import Struct

CACHED_SECONDS = 3.0


class Store(Struct, frozen=True, gc=False):
    """`identity` and `generation` are 16 hex digits each. The order's numbers mean something within one epoch."""

    identity: str
    generation: str
    epoch: int

    @property
    def name(self) -> str:
        """The three of them, as they stand in keys."""
        return f"{self.identity}.{self.epoch}.{self.generation}"


_cached: tuple[float, Store] | None = None


def current_store() -> Store:
    """The store behind Django's connection to the primary, at most CACHED_SECONDS old: for jobs, commands and views.

    Raises django.db.DatabaseError.
    """
    global _cached  # noqa: PLW0603 - one database a process
    if _cached is None or monotonic() - _cached[0] > CACHED_SECONDS:
        with connection.cursor() as cursor:
            cursor.execute("SELECT identity, generation, epoch FROM relay_current_store()")
            _cached = (monotonic(), Store(*cursor.fetchone()))
    return _cached[1]


def forget_store() -> None:
    """Have the next call of `current_store` ask the database: another one was connected to, or it was restarted."""
    global _cached  # noqa: PLW0603
    _cached = None

"""The store in the database: an identity, an epoch, and a generation of the running server (sql/store.sql).

Its name stands in bus messages, cache keys and queue names, so that two stores on one Redis server never interfere.
"""

import time
from collections.abc import Callable

from django.db import connection
from msgspec import Struct

from relay.storage.channel import integer

CURRENT_STORE = "SELECT identity, generation, epoch FROM relay_current_store()"
"""One row. Only on the primary: it fails on a standby."""

CACHE_SECONDS = 3.0


class Store(Struct, frozen=True, gc=False):
    """`identity` and `generation`: 16 hex digits each. `epoch` counts from 1.

    Another identity: another store, perhaps a copy. Another epoch: numbers of the log may be used again. Another
    generation: the server was restarted.
    """

    identity: str
    generation: str
    epoch: int

    @property
    def name(self) -> str:
        """A name that two running servers never share."""
        return f"{self.identity}.{self.epoch}.{self.generation}"

    def is_before(self, name: str) -> bool:
        """Whether the name is that of the same store at a later epoch."""
        identity, _, rest = name.partition(".")
        epoch = rest.partition(".")[0]
        return identity == self.identity and epoch.isdecimal() and int(epoch) > self.epoch

    @property
    def log_key(self) -> int:
        """Identity and epoch as one number of 63 bits. Where it differs, positions cannot be compared."""
        return (int(self.identity or "0", 16) + self.epoch) & (2**63 - 1)

    @property
    def broker_prefix(self) -> str:
        """Prefix of every key and channel of the job queue. Channels need it too: they are shared by all database
        numbers.
        """
        return f"relay.{self.name}.jobs."


def store_of(identity: bytes | None, generation: bytes | None, epoch: bytes | None) -> Store:
    """The store of a row of CURRENT_STORE in binary format."""
    return Store((identity or b"").decode(), (generation or b"").decode(), integer(epoch))


def only_in(store: Store) -> str:
    """A further column of `relay.storage.database.local_settings`: the rest of the transaction can write in `store`
    alone, in any of its generations. Elsewhere it is read-only (25006).
    """
    is_other = f"s.identity <> '{store.identity}' OR s.epoch <> {store.epoch}"
    return f", (SELECT set_config('transaction_read_only', ({is_other})::text, true) FROM relay_current_store() AS s)"  # noqa: S608 - the store's own names


def read_store() -> Store:
    """The store behind Django's connection, queried now. Raises django.db.Error.

    Not inside a long transaction: if the server has changed, the rows of store and lease stay locked until its end.
    """
    with connection.cursor() as cursor:
        cursor.execute(CURRENT_STORE)
        return Store(*cursor.fetchone())


def read_urls() -> list[str]:
    """The addresses of the relay as its worker that started last has noted them; none before the first start.

    Raises django.db.Error.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT urls FROM relay_store")
        return list(cursor.fetchone()[0])


class CachedStore:
    """Queries at most once in CACHE_SECONDS. Threads may share it: at worst two of them query at once."""

    def __init__(self, ask: Callable[[], Store] = read_store, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._known: tuple[float, Store] | None = None

    def __call__(self) -> Store:
        """The store as it was CACHE_SECONDS ago or later. Raises django.db.Error."""
        known, now = self._known, self._clock()
        if known is None or now - known[0] > CACHE_SECONDS:
            known = self._known = (now, self._ask())
        return known[1]


current_store = CachedStore()
"""The store, for jobs, commands and views."""

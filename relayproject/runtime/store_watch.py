"""Ends a process of the job queue when the store gets another name: its keys on the Redis server begin with the name.

The supervisor starts it again with the new name. A store is renamed when PostgreSQL was restarted, promoted or replaced
by a copy (relay/storage/sql/store.sql).
"""

import time
from collections.abc import Callable

import psycopg

from relay.storage.store import CURRENT_STORE, Store
from relayproject.runtime.say import say

Connection = psycopg.Connection[tuple[str, str, int]]

LOOK_SECONDS = 2.0
"""Between two look-ups of one row."""


def connect() -> Connection:
    """A connection of its own to the primary. Raises psycopg.Error.

    A server that goes away silently is noticed within 3 s, a statement that hangs within 5 s.
    """
    from relay.storage.database import conninfo

    return psycopg.connect(conninfo(application_name="relay store watch"), autocommit=True, prepare_threshold=None)


def store_of(connection: Connection) -> Store:
    """The store behind the connection, asked now. Raises psycopg.Error, also on a standby."""
    with connection.transaction():  # behind a transaction pooler a session's setting would be another client's too
        connection.execute("SET LOCAL statement_timeout = '5s'")
        row = connection.execute(CURRENT_STORE).fetchone()
    assert row is not None
    return Store(*row)


def watch(store: Store, end: Callable[[], object], open_connection: Callable[[], Connection] = connect) -> None:
    """Call `end` once when the store has another name than `store`; waits while the database does not answer."""
    while True:
        try:
            with open_connection() as connection:
                while (now := store_of(connection)) == store:
                    time.sleep(LOOK_SECONDS)
        except psycopg.Error:
            time.sleep(LOOK_SECONDS)
            continue
        say("jobs", f"the store is {now.name} now, it was {store.name}; starting again")
        end()
        return

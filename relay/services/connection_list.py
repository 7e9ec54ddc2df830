"""The connections of all workers, for operators.

A reader writes what it looks for to a key of the shared cache that lives for some seconds. A worker that finds it, once
a second, writes its connections. Rule: while no operator looks, this costs one GET a second in a round trip that is
made anyway. Without the shared cache a reader sees the connections of its own process.
"""

import time
from collections.abc import Sequence
from concurrent.futures import TimeoutError as Late
from typing import Any

import msgspec
from django.db import DatabaseError

from relay.services import process
from relay.services.connection_keys import LONGEST_SEARCH, MOST, answer_key, wanted_key
from relay.services.connections import ConnectionFigures
from relay.services.figures import CACHE_ERRORS, client_of, workers_key
from relay.storage.store import current_store

WANTED_SECONDS = 10
WAIT_SECONDS = 2.5
POLL_SECONDS = 0.1


def connections_now(cache_url: str, search: str) -> tuple[list[ConnectionFigures], bool]:
    """Those that have sent the most bytes, the most first; and whether every worker was asked and has answered.

    `search`: the beginning of an address, or a public key in hex; "" for all. For a thread; takes up to WAIT_SECONDS.
    """
    search = search[:LONGEST_SEARCH]
    found: Sequence[bytes | None] | None = None
    if cache_url:
        try:
            found = _asked(client_of(cache_url), current_store().name, search)
        except (*CACHE_ERRORS, DatabaseError):
            found = None
    if found is None:
        return _own(search), False
    lists = [msgspec.json.decode(each, type=list[ConnectionFigures]) for each in found if each is not None]
    shown = sorted((one for each in lists for one in each), key=lambda one: -one.bytes_in)
    return shown[:MOST], len(lists) == len(found)


def _asked(client: Any, store: str, search: str) -> list[bytes | None]:
    """What each worker answers; None for one that has not answered in time."""
    client.set(wanted_key(store), search.encode(), ex=WANTED_SECONDS)
    names = [name.decode() for name in client.smembers(workers_key(store))]
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        values = list(client.mget([answer_key(store, name, search) for name in names])) if names else []
        if None not in values or time.monotonic() > deadline:
            return values
        time.sleep(POLL_SECONDS)


def _own(search: str) -> list[ConnectionFigures]:
    """The connections of this process, if it serves clients."""
    relay = process.current()
    if relay is None:
        return []
    try:
        return relay.from_thread(lambda: relay.connections.largest(MOST, search), WAIT_SECONDS)
    except Late:
        return []

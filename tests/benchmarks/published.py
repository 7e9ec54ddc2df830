"""What workers say of themselves: each of them publishes its figures once a second.

A reader that comes at once would get figures of the second before. These functions wait until each worker has counted
anew, and no longer.
"""

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

import psycopg

from tests.acceptance.relay_process import RelayProcess, wait_for

if TYPE_CHECKING:
    from relay.services.figures import ClusterSnapshot

PUBLISHED_SECONDS = 20.0
"""A worker that has published nothing for so long is at fault."""

FILLED_SECONDS = 60.0


def figures(cache_url: str, pids: Collection[int], store: str = "") -> "ClusterSnapshot":
    """The figures that these workers count after this call. `store`: a `Store.name`; by default that of Django's
    database. AssertionError if a worker does not publish.
    """
    from relay.services.figures import EMPTY, read_figures_now

    begin, found = time.time(), EMPTY

    def has_counted() -> bool:
        nonlocal found
        found = read_figures_now(cache_url, store)
        return {worker.pid for worker in found.workers if worker.at >= begin} >= set(pids)

    wait_for(has_counted, "new figures of each worker", PUBLISHED_SECONDS)
    return found


def figures_of(relay: RelayProcess) -> "ClusterSnapshot":
    """The same for all workers of a relay with embedded servers."""
    from relay.storage.store import Store

    services = relay.services()
    with psycopg.connect(services["DATABASE_URL"]) as connection:
        row = connection.execute("SELECT identity, generation, epoch FROM relay_current_store()").fetchone()
    assert row is not None
    return figures(services["REDIS_URL"], relay.workers(), Store(*row).name)


def until_filled(relay: RelayProcess) -> None:
    """Return when no window has grown from one second to the next. AssertionError after FILLED_SECONDS."""
    held: dict[int, int] = {}

    def is_filled() -> bool:
        nonlocal held
        before = held
        held = {
            worker.pid: sum(cache.size for cache in worker.caches if cache.name == "window")
            for worker in figures_of(relay).workers
        }
        return held == before

    wait_for(is_filled, "windows that are filled", FILLED_SECONDS)

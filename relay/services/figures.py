"""The figures of all workers of all instances of a store, as published within the last five seconds.

Each worker writes its `WorkerFigures` once a second to a key of the cache that lives for five seconds and names the
store. Rule: an unavailable cache is no error: the snapshot is empty then, and `whole` is False.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import msgspec
from django.db import DatabaseError
from msgspec import Struct
from redis.exceptions import RedisClusterException, RedisError

from relay import redis_clients
from relay.services.worker_figures import NOTHING, WorkerFigures, total
from relay.storage.store import current_store

LIFE_SECONDS = 5
"""How long the figures of a worker count."""

TIMEOUT_SECONDS = 0.5
"""Of one exchange with the cache."""

CACHE_ERRORS = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What an unavailable cache raises. The second, of a Cluster without any server, is no subclass of the first."""


def workers_key(store: str) -> str:
    """The key of the set of worker names. `store` is `Store.name`."""
    return f"relay:{{{store}:status}}:workers"


class ClusterSnapshot(Struct, frozen=True):
    """`workers`: sorted by instance and number; `total`: their sum (`relay.services.worker_figures.total`).

    `whole` is False if the cache did not answer; `workers` is empty then.
    """

    workers: Sequence[WorkerFigures]
    total: WorkerFigures
    whole: bool = True

    @property
    def instances(self) -> list[str]:
        """Their names, sorted."""
        return sorted({worker.instance for worker in self.workers})


EMPTY = ClusterSnapshot((), NOTHING, whole=False)


def snapshot(workers: Iterable[WorkerFigures]) -> ClusterSnapshot:
    """The snapshot of these workers."""
    found = sorted(workers, key=lambda worker: (worker.instance, len(worker.worker), worker.worker, worker.pid))
    return ClusterSnapshot(found, total(found))


def key(store: str, name: str) -> str:
    """The key of a worker's figures."""
    return f"relay:{{{store}:status}}:{name}"


def decoded(value: bytes) -> WorkerFigures | None:
    """A worker's figures; None if they cannot be read, as those of another version may not."""
    try:
        return msgspec.json.decode(value, type=WorkerFigures)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def read_figures_now(cache_url: str, store: str = "") -> ClusterSnapshot:
    """The figures now, for a thread: 0.3 ms on a kept connection. Never raises because of the cache.

    `cache_url` is CACHE_URL (`relay.conf.config().cache_url`), `store` a `Store.name`; by default that of the database.
    """
    if not cache_url:
        return EMPTY
    try:
        store = store or current_store().name
        client = client_of(cache_url)
        names = client.smembers(workers_key(store))
        return _read(client.mget([key(store, name.decode()) for name in names]) if names else [])
    except (*CACHE_ERRORS, DatabaseError):
        return EMPTY


def _read(values: Iterable[bytes | None]) -> ClusterSnapshot:
    return snapshot(figures for value in values if value is not None and (figures := decoded(value)) is not None)


def async_client(url: str) -> Any:
    """An asyncio client with TIMEOUT_SECONDS."""
    return redis_clients.async_client(url, TIMEOUT_SECONDS)


def client_of(url: str) -> Any:
    """A kept client for threads with TIMEOUT_SECONDS."""
    client = _client_of(url)
    redis_clients.follow_master(client)
    return client


@cache
def _client_of(url: str) -> Any:
    return redis_clients.client(url, TIMEOUT_SECONDS)

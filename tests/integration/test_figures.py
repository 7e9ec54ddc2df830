"""The figures that workers publish in a real Valkey, read in a thread."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis
from django.conf import settings
from msgspec.structs import replace

from relay.services import figures
from relay.services.figures import ClusterSnapshot, read_figures_now
from relay.services.status import Status, listeners
from relay.services.worker_figures import NOTHING, WorkerFigures
from relay.storage.store import Store

UNREACHABLE_URL = "redis://127.0.0.1:1"
STORE = Store("0123456789abcdef", "fedcba9876543210", 3)


def status(worker: str, connections: int, store: Store = STORE) -> Status:
    async def count() -> int:
        return 0

    own = replace(NOTHING, connections=connections, instance="test", worker=worker, counts={"queries": connections})
    return Status(settings.CACHE_URL, "test", lambda: own, count, lambda: store)


@pytest.fixture
async def workers() -> AsyncIterator[list[Status]]:
    """Two workers, with 3 and 4 connections."""
    redis.from_url(settings.CACHE_URL).delete(figures.workers_key(STORE.name))
    both = [status("1", 3), status("2", 4)]
    for each in both:
        each.start()
    yield both
    await asyncio.gather(*[each.stop() for each in both])


async def snapshot_of(count: int) -> ClusterSnapshot:
    """The snapshot, once it has so many workers."""
    async with asyncio.timeout(8):
        while len((found := await read(settings.CACHE_URL)).workers) != count:
            await asyncio.sleep(0.05)
    return found


async def read(url: str, store: Store = STORE) -> ClusterSnapshot:
    return await asyncio.to_thread(read_figures_now, url, store.name)


async def test_each_worker_and_their_sum_are_read(workers: list[Status]) -> None:
    snapshot = await snapshot_of(2)

    assert [(each.worker, each.connections) for each in snapshot.workers] == [("1", 3), ("2", 4)]
    assert (snapshot.total.connections, snapshot.total.counts, snapshot.whole) == (7, {"queries": 7}, True)


@pytest.mark.parametrize("other", [replace(STORE, identity="another"), replace(STORE, epoch=4)])
async def test_workers_of_another_store_or_epoch_are_not_counted(workers: list[Status], other: Store) -> None:
    other_store = status("1", 100, other)
    other_store.start()
    try:
        async with asyncio.timeout(8):
            while not (there := await read(settings.CACHE_URL, other)).workers:
                await asyncio.sleep(0.05)

        assert (there.total.connections, (await snapshot_of(2)).total.connections) == (100, 7)
    finally:
        await other_store.stop()


async def test_a_worker_of_a_version_that_cannot_be_read_is_left_out(workers: list[Status]) -> None:
    await snapshot_of(2)
    client = redis.from_url(settings.CACHE_URL)
    client.sadd(figures.workers_key(STORE.name), "stranger")
    client.set(figures.key(STORE.name, "stranger"), b'{"connections": "many"}', ex=5)

    assert len((await read(settings.CACHE_URL)).workers) == 2


@pytest.mark.parametrize("url", ["", UNREACHABLE_URL])
async def test_without_a_cache_the_snapshot_is_empty_and_says_so(url: str) -> None:
    assert await read(url) == ClusterSnapshot((), NOTHING, whole=False)


async def test_listeners_are_called_once_a_second_and_may_raise() -> None:
    received: asyncio.Queue[WorkerFigures] = asyncio.Queue()

    def fail(_figures: WorkerFigures) -> None:
        raise OSError("no space left")

    one = status("1", 5)
    listeners.extend([fail, received.put_nowait])
    one.start()
    try:
        async with asyncio.timeout(8):
            first, second = await received.get(), await received.get()
    finally:
        del listeners[-2:]
        await one.stop()

    assert (first.connections, second.connections) == (5, 5)
    assert one.failures >= 2


async def test_listeners_get_the_last_figures_at_the_end() -> None:
    received: list[int] = []
    counted = [1]

    async def count() -> int:
        return 0

    def own() -> WorkerFigures:
        return replace(NOTHING, connections=counted[0])

    one = Status("", "test", own, count, lambda: STORE)
    listeners.append(lambda figures: received.append(figures.connections))
    one.start()
    try:
        await asyncio.sleep(0)
        counted[0] = 2
        await one.stop()
    finally:
        del listeners[-1:]

    assert received == [1, 2]

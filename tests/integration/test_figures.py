"""The figures that workers publish in a real Valkey, read in a thread."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis
from django.conf import settings
from msgspec.structs import replace

from relay.services import figures
from relay.services.figures import ClusterSnapshot, read_figures, read_figures_now
from relay.services.status import Status, listeners
from relay.services.worker_figures import NOTHING, WorkerFigures

NOBODY_LISTENS = "redis://127.0.0.1:1"


def status(worker: str, connections: int) -> Status:
    async def estimate() -> int:
        return 0

    own = replace(NOTHING, connections=connections, instance="test", worker=worker, counts={"queries": connections})
    return Status(settings.CACHE_URL, "test", lambda: own, estimate)


@pytest.fixture
async def workers() -> AsyncIterator[list[Status]]:
    """Two workers, with 3 and 4 connections."""
    redis.from_url(settings.CACHE_URL).delete(figures.WORKERS)
    both = [status("1", 3), status("2", 4)]
    for each in both:
        each.start()
    yield both
    await asyncio.gather(*[each.stop() for each in both])


async def snapshot_of(count: int) -> ClusterSnapshot:
    """The snapshot, once it has so many workers."""
    async with asyncio.timeout(8):
        while len((snapshot := await read_figures(settings.CACHE_URL)).workers) != count:
            await asyncio.sleep(0.05)
    return snapshot


async def test_a_loop_reads_each_worker_and_their_sum(workers: list[Status]) -> None:
    snapshot = await snapshot_of(2)

    assert [(each.worker, each.connections) for each in snapshot.workers] == [("1", 3), ("2", 4)]
    assert (snapshot.total.connections, snapshot.total.counts, snapshot.whole) == (7, {"queries": 7}, True)


async def test_a_thread_reads_the_same(workers: list[Status]) -> None:
    snapshot = await snapshot_of(2)
    there = await asyncio.to_thread(read_figures_now, settings.CACHE_URL)

    assert [each.worker for each in there.workers] == [each.worker for each in snapshot.workers]
    assert there.total.connections == 7


async def test_a_worker_of_a_version_that_cannot_be_read_is_left_out(workers: list[Status]) -> None:
    await snapshot_of(2)
    client = redis.from_url(settings.CACHE_URL)
    client.sadd(figures.WORKERS, "stranger")
    client.set(figures.key("stranger"), b'{"connections": "many"}', ex=5)

    assert len(read_figures_now(settings.CACHE_URL).workers) == 2


@pytest.mark.parametrize("url", ["", NOBODY_LISTENS])
async def test_without_a_cache_nobody_is_on_the_board_and_it_says_so(url: str) -> None:
    assert read_figures_now(url) == await read_figures(url) == ClusterSnapshot((), NOTHING, whole=False)


async def test_who_listens_is_told_once_a_second_and_may_fail() -> None:
    told: asyncio.Queue[WorkerFigures] = asyncio.Queue()

    def fail(_figures: WorkerFigures) -> None:
        raise OSError("no space left")

    one = status("1", 5)
    listeners.extend([fail, told.put_nowait])
    one.start()
    try:
        async with asyncio.timeout(8):
            first, second = await told.get(), await told.get()
    finally:
        del listeners[-2:]
        await one.stop()

    assert (first.connections, second.connections) == (5, 5)
    assert one.failures >= 2

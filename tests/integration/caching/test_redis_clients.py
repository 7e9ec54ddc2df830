"""redis-py's clients at every form of the address: what one writes in a loop, the other reads in a thread."""

import asyncio

from relay import redis_clients
from relay.services.figures import workers_key
from tests.integration.caching.valkeys import cluster, guarded, one_server

WORKERS = workers_key("store.1.generation")


async def _written_and_read(url: str) -> object:
    writer = redis_clients.async_client(url, 5.0)
    try:
        await writer.sadd(WORKERS, "one")
        pipe = writer.pipeline(transaction=False)
        pipe.sadd(WORKERS, "two").smembers(WORKERS)
        await pipe.execute()
    finally:
        await writer.aclose()
    return await asyncio.to_thread(redis_clients.client(url, 5.0).smembers, WORKERS)


async def test_figures_go_through_one_server() -> None:
    with one_server() as server:
        assert await _written_and_read(server.url) == {b"one", b"two"}


async def test_figures_go_through_the_master_of_a_sentinel() -> None:
    with guarded() as servers:
        assert await _written_and_read(servers.url) == {b"one", b"two"}


async def test_figures_go_through_a_cluster() -> None:
    with cluster() as servers:
        assert await _written_and_read(servers.url) == {b"one", b"two"}

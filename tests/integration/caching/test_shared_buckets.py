"""Rate limits on a real shared cache: one script, many workers, outages."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis import Redis

from relay.caching.shared import Shared
from relay.caching.shared import server_link as links
from relay.caching.shared_buckets import SCRIPT, SharedBuckets
from relay.policies.rate_limits import Bucket
from relay.protocol.rates import Rate
from relayproject.runtime.valkey import EmbeddedValkey
from tests.integration.caching.valkeys import cluster, one_server, until
from tests.unit.policies.levels import Levels

STILL = 1e-6
"""Tokens a second: none while a test runs."""


@pytest.fixture(autouse=True)
def frequent_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests need not wait a second each time."""
    monkeypatch.setattr(links, "PROBE_SECONDS", 0.1)


@asynccontextmanager
async def worker(server: EmbeddedValkey, rate: Rate, timeout_seconds: float = 5.0) -> AsyncIterator[Bucket]:
    """The bucket of one worker."""
    shared = Shared(server.url, timeout_seconds)
    await shared.start()
    try:
        await until(lambda: shared.up)
        buckets = SharedBuckets(shared, lambda: "relay:rate:test:")
        buckets.share = 0.5
        yield Bucket("events", "203.0.113.7", rate, buckets.more)
    finally:
        await shared.stop()


async def answered(bucket: Bucket) -> None:
    await until(lambda: not bucket.asking)


def admin(server: EmbeddedValkey) -> Redis:
    return Redis(unix_socket_path=str(server.socket), protocol=2)


async def test_the_script_does_what_its_model_does() -> None:
    random.seed(1)
    with one_server() as server, admin(server) as redis:
        levels = Levels()
        for _ in range(500):
            key, burst = random.choice((b"a", b"b")), 100
            charged, wanted = random.choice((0, 0, 1, 25)), random.randint(0, 30)
            if random.random() < 0.05:
                redis.delete(key)
                levels.levels.pop(key, None)
            expected = levels.run(key, STILL, burst, charged, wanted)
            assert redis.eval(SCRIPT, 1, key, repr(STILL), burst, charged, wanted) == expected


async def test_a_level_falls_by_the_rate_and_its_key_expires_when_the_bucket_is_full() -> None:
    with one_server() as server, admin(server) as redis:
        assert redis.eval(SCRIPT, 1, "a", "10.0", 100, 0, 2) == [2, 0]
        assert 0 < redis.pttl("a") <= 200
        started = time.monotonic()
        await until(lambda: not redis.exists("a"))
        assert time.monotonic() - started > 0.1
        assert redis.eval(SCRIPT, 1, "a", "10.0", 100, 0, 100) == [100, 0]
        assert redis.eval(SCRIPT, 1, "a", "10.0", 100, 0, 100)[0] <= 5


async def test_four_workers_together_give_the_burst_and_their_grants_at_most() -> None:
    rate, given = Rate(STILL, 400), 0
    with one_server() as server:
        async with AsyncExitStack() as stack:
            workers = [await stack.enter_async_context(worker(server, rate)) for _ in range(4)]
            for _ in range(60):
                for bucket in workers:
                    given += sum(bucket.take() for _ in range(10))
                    await answered(bucket)
            assert all(not bucket.take() for bucket in workers)

    assert 400 <= given <= 400 + 2 * 4 * rate.grant


async def test_a_server_that_lost_data_and_scripts_is_asked_again_with_the_script() -> None:
    rate = Rate(STILL, 400)
    with one_server() as server, admin(server) as redis:
        async with worker(server, rate) as bucket:
            for _ in range(60):
                bucket.take()
            await answered(bucket)
            redis.flushall()
            redis.script_flush()
            before = bucket.left
            while bucket.left >= 50:
                bucket.take()
            await answered(bucket)
            assert bucket.left > before - 60
            assert bucket.alone_since is None
            assert redis.dbsize() == 1


async def test_while_the_server_hangs_a_worker_goes_on_with_its_share_and_waits_for_nothing() -> None:
    rate = Rate(200.0, 400)
    with one_server() as server, admin(server) as redis:
        async with worker(server, rate, 0.05) as bucket:
            redis.client_pause(1_500)
            started, given, longest = time.monotonic(), 0, 0.0
            while time.monotonic() - started < 1.0:
                before = time.perf_counter()
                given += bucket.take()
                longest = max(longest, time.perf_counter() - before)
                await asyncio.sleep(0.001)
            assert rate.grant < given <= rate.grant + 100 + 1
            await until(lambda: bucket.take() and bucket.alone_since is None)


async def test_a_server_that_was_killed_is_used_again_when_it_answers() -> None:
    rate = Rate(1_000.0, 400)
    with one_server() as server:
        async with worker(server, rate) as bucket:
            server.stop(hasty=True)
            while bucket.take():
                pass
            await answered(bucket)
            assert bucket.alone_since is not None
            server.start()
            await until(lambda: bucket.take() and bucket.alone_since is None)


async def test_buckets_are_spread_over_the_masters_of_a_cluster() -> None:
    rate = Rate(STILL, 400)
    with cluster() as servers:
        shared = Shared(servers.url, 5.0)
        await shared.start()
        try:
            await until(lambda: shared.up)
            buckets = SharedBuckets(shared, lambda: "relay:rate:test:")
            made = [Bucket("events", f"203.0.113.{number}", rate, buckets.more) for number in range(60)]
            for bucket in made:
                while bucket.left >= bucket.low:
                    bucket.take()
                bucket.take()
            await until(lambda: not any(bucket.asking for bucket in made))
            assert all(bucket.left > bucket.low for bucket in made)
            assert buckets.failures == 0
            assert all(node.run("DBSIZE") for node in servers.masters)
        finally:
            await shared.stop()

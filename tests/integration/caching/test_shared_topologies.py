"""The shared cache behind a Sentinel and as a Cluster: masters move and die, answers stay right."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from hiredis import ReplyError
from redis.crc import key_slot

from relay.caching.shared import Reply, Shared, Unavailable
from tests.integration.caching.valkeys import ClusterOfSix, cluster, guarded, until, wait_until

TIMEOUT_SECONDS = 1.0
KEYS = [b"key:%d" % number for number in range(300)]


@asynccontextmanager
async def started(url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> AsyncIterator[Shared]:
    shared = Shared(url, timeout_seconds)
    await shared.start()
    try:
        await until(lambda: shared.up)
        yield shared
    finally:
        await shared.stop()


async def outcome(future: "asyncio.Future[Reply]") -> Reply:
    try:
        return await future
    except (Unavailable, ReplyError) as error:
        return error


def write(shared: Shared, values: dict[bytes, bytes]) -> None:
    for key, value in values.items():
        shared.set(key, value, 600)


@pytest.fixture(scope="module")
def six() -> Iterator[ClusterOfSix]:
    with cluster() as made:
        yield made


async def test_the_master_that_the_sentinel_names_is_used_before_and_after_a_failover() -> None:
    with guarded() as servers:
        async with started(servers.url, 10.0) as shared:
            assert await shared.call(b"a", b"SET", b"a", b"1") == b"OK"
            assert await shared.call(b"a", b"WAIT", 1, 8_000) == 1
            servers.master.kill()
            await until(lambda: not shared.up)
            assert isinstance(await outcome(shared.call(b"a", b"GET", b"a")), Unavailable)
            await until(lambda: shared.up)
            assert await shared.call(b"a", b"GET", b"a") == b"1"
            assert await shared.call(b"a", b"SET", b"a", b"2") == b"OK"
            assert servers.replica.admin.get("a") == b"2"
            assert shared.counters.reconnects >= 1


async def test_a_master_that_the_sentinel_has_replaced_is_left_though_it_answers() -> None:
    with guarded() as servers:
        async with started(servers.url) as shared:
            servers.sentinel.run("SENTINEL", "REMOVE", "main")
            servers.replica.run("REPLICAOF", "NO", "ONE")
            servers.sentinel.run("SENTINEL", "MONITOR", "main", "127.0.0.1", servers.replica.port, 1)
            servers.replica.admin.set("whose", "new")

            async def is_new() -> bool:
                return bool(await outcome(shared.call(b"", b"GET", b"whose")) == b"new")

            async with asyncio.timeout(15):
                while not await is_new():
                    await asyncio.sleep(0.02)
            assert servers.master.admin.ping()


async def test_each_key_is_with_its_master(six: ClusterOfSix) -> None:
    async with started(six.url) as shared:
        write(shared, {key: b"=" + key for key in KEYS})
        assert await shared.get_many([*KEYS, b"none"]) == [b"=" + key for key in KEYS] + [None]
        assert await shared.call(KEYS[7], b"GET", KEYS[7]) == b"=" + KEYS[7]
        sizes = [node.admin.dbsize() for node in six.masters]
        assert sum(sizes) == len(KEYS)
        assert min(sizes) > 0


async def test_keys_are_found_and_removed_on_every_master(six: ClusterOfSix) -> None:
    async with started(six.url) as shared:
        write(shared, {b"found:" + key: b"" for key in KEYS})
        shared.set(b"other", b"", 60)
        assert await shared.delete_matching(b"found:*") == len(KEYS)
        assert await shared.get_many([b"other"]) == [b""]
        write(shared, {b"found:" + key: b"" for key in KEYS[:50]})
        assert await shared.delete([b"found:" + key for key in KEYS[:60]]) == 50


async def test_a_slot_that_moves_is_followed(six: ClusterOfSix) -> None:
    key = b"{moving}1"
    slot = key_slot(key)
    source = six.master_of(slot)
    target = next(node for node in six.masters if node is not source)
    names = {node: node.run("CLUSTER", "MYID").decode() for node in (source, target)}
    async with started(six.url) as shared:
        target.run("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        source.run("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
        assert await shared.call(key, b"SET", key, b"asked") == b"OK"
        assert await shared.call(key, b"GET", key) == b"asked"
        assert source.run("CLUSTER", "COUNTKEYSINSLOT", slot) == 0
        for node in (target, source):
            node.run("CLUSTER", "SETSLOT", slot, "NODE", names[target])
        assert await shared.call(key, b"GET", key) == b"asked"
        assert shared.counters.reconnects == 0


async def test_only_the_keys_of_a_slow_master_are_unavailable(six: ClusterOfSix) -> None:
    slow, well = six.masters[0], six.masters[1]
    key_of = {node: next(key for key in KEYS if six.master_of(key_slot(key)) is node) for node in (slow, well)}
    async with started(six.url, 0.1) as shared:
        write(shared, dict.fromkeys(key_of.values(), b"1"))
        await shared.get_many(list(key_of.values()))
        slow.admin.client_pause(700)
        assert await shared.get_many([key_of[slow]]) == [None]
        assert isinstance(await outcome(shared.call(key_of[slow], b"GET", key_of[slow])), Unavailable)
        assert await shared.call(key_of[well], b"GET", key_of[well]) == b"1"
        await until(lambda: shared.up)
        assert await shared.get_many([key_of[slow]]) == [b"1"]


async def test_a_master_dies_under_load_and_no_answer_is_wrong(six: ClusterOfSix) -> None:
    """The last test of the Cluster: one master is gone afterwards."""
    victim = six.masters[2]
    hit = [key for key in KEYS if six.master_of(key_slot(key)) is victim]
    kept = [key for key in KEYS if key not in hit]
    async with started(six.url) as shared:
        write(shared, {key: b"=" + key for key in KEYS})
        await shared.get_many(KEYS)
        wait_until(lambda: all(six_replica_has(six, victim)))
        victim.kill()
        await until(lambda: not shared.up)
        while not shared.up:
            assert await shared.get_many(kept) == [b"=" + key for key in kept]
            for key, value in zip(hit, await shared.get_many(hit), strict=True):
                assert value in {None, b"=" + key}
            await asyncio.sleep(0.02)
        assert await shared.get_many(KEYS) == [b"=" + key for key in KEYS]


def six_replica_has(six: ClusterOfSix, master: object) -> list[bool]:
    """Whether each replica has as many keys as its master."""
    pairs = zip(six.masters, six.replicas, strict=True)
    return [one.admin.dbsize() == other.admin.dbsize() for one, other in pairs if one is master]

"""The barrier: the number that is handed out is never below one that was acknowledged before the asking."""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from relay.caching import newest_number
from relay.caching.barrier import Barrier
from relay.caching.shared import Shared
from relay.caching.shared.client import PATIENCE_SECONDS
from relay.caching.sole import HOLD_SECONDS, LEASE_SECONDS
from relay.storage.log import newest
from relay.storage.reads import Reads
from relay.storage.sole import Claim, claim
from tests.events import sign_event
from tests.integration.caching.cable import Cable
from tests.integration.caching.valkeys import Node, folder, free_ports, guarded, nodes, until
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay
from tests.integration.storage.scribe import Tables

pytestmark = pytest.mark.django_db

EPOCH = 1
KEY = "relay:1:{barrier:1}:newest"
SLOW_MACHINE_SECONDS = 2.0
SEEDS = int(os.environ.get("TEST_CACHE_EXAMPLES", "1"))


@pytest.fixture
def server() -> Iterator[Node]:
    with folder() as path, nodes(path, free_ports(1)) as (node,):
        yield node


class Process:
    """The barrier of one process, with its own connection to the cache."""

    def __init__(self, url: str, reads: Reads) -> None:
        self.shared = Shared(url)
        self.barrier = Barrier(self.shared, reads, lambda: EPOCH)
        self.claim = Claim(0, False)

    async def number(self) -> int | None:
        """What a copy must have applied before it may answer."""
        told: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.barrier.join(told.set_result)
        return await asyncio.wait_for(told, 10)

    async def announce(self, position: int) -> None:
        """Returns when the OK may go out."""
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.barrier.announce(position, self.claim, told.set_result)
        assert await asyncio.wait_for(told, 10)

    async def trust(self) -> None:
        """Returns when it takes the cache's word."""
        async with asyncio.timeout(10):
            fetches = self.barrier.fetches
            while self.barrier.fetches == fetches:
                await self.number()
                await asyncio.sleep(0.005)


StartProcess = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(server: Node, reads: Reads, tables: Tables) -> AsyncIterator[StartProcess]:
    async with AsyncExitStack() as started:

        async def begin(url: str = server.url) -> Process:
            process = Process(url, reads)
            await process.shared.start()
            started.push_async_callback(process.shared.stop)
            await until(lambda: process.shared.up)
            process.barrier.start()
            started.push_async_callback(process.barrier.stop)
            process.claim = await claim(reads, "a process")
            return process

        yield begin


@pytest.fixture(autouse=True)
def others(tables: Tables) -> None:
    """Somebody is always at work elsewhere, so that none of these processes has the store for itself."""
    tables.connection.execute("INSERT INTO relay_instance VALUES ('elsewhere', clock_timestamp() + interval '1 hour')")


def commit(tables: Tables) -> int:
    """One more change in the log; returns its number."""
    ((seq,),) = tables.rows(
        "INSERT INTO relay_change (seq, created_at, op, event_id) "
        "SELECT relay_position() + 1, 0, '-', '\\x00' RETURNING seq"
    )
    return int(seq)


def stored(server: Node) -> float | None:
    """The number in the cache."""
    score = server.run("ZSCORE", KEY, "newest")
    return None if score is None else float(score)


async def until_stored(server: Node, position: int) -> None:
    await until(lambda: stored(server) == position)


async def acknowledged(process: Process, tables: Tables) -> int:
    position = commit(tables)
    await process.announce(position)
    return position


# -- Reading -----------------------------------------------------------------------------------------------------------


async def test_a_reader_is_told_what_another_process_has_acknowledged(start: StartProcess, tables: Tables) -> None:
    writer, reader = await start(), await start()
    await reader.trust()
    for _ in range(20):
        position = await acknowledged(writer, tables)
        assert await reader.number() == position
    assert reader.barrier.fetches >= 10, "most of it was the cache's word"


async def test_one_fetch_serves_all_who_wait(start: StartProcess, tables: Tables) -> None:
    writer, reader = await start(), await start()
    await acknowledged(writer, tables)
    await reader.trust()
    before = reader.barrier.fetches, reader.barrier.asked_primary
    await asyncio.gather(*[reader.number() for _ in range(1_000)])
    # The first who asks begins a fetch, for all others the next one; the beat may have looked at the database.
    assert reader.barrier.fetches - before[0] <= 2
    assert reader.barrier.asked_primary - before[1] <= 2


async def test_the_primary_is_asked_when_the_cache_is_away(start: StartProcess, tables: Tables, server: Node) -> None:
    reader = await start()
    await reader.trust()
    server.kill()
    await until(lambda: not reader.shared.up)
    position, fetches = commit(tables), reader.barrier.fetches
    assert await reader.number() == position
    assert reader.barrier.fetches == fetches


async def test_without_cache_and_database_nobody_can_say(
    start: StartProcess, tables: Tables, server: Node, reads: Reads
) -> None:
    reader = await start()
    server.kill()
    await reads.close()
    await until(lambda: not reader.shared.up)
    assert await reader.number() is None


async def test_a_number_that_the_reader_knows_to_be_too_low_is_not_believed(
    start: StartProcess, tables: Tables, server: Node
) -> None:
    writer, reader = await start(), await start()
    position = await acknowledged(writer, tables)
    await reader.trust()
    for damage in (("ZADD", KEY, 0, "newest"), ("ZADD", KEY, "-inf", "newest"), ("DEL", KEY), ("FLUSHALL",)):
        server.run(*damage)
        async with asyncio.timeout(15):
            while stored(server) != position:  # until it is put right by who noticed, while it took the cache's word
                assert await reader.number() == position
                await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "damage", [("SET", "garbage"), ("HSET", "a", "b"), ("ZADD", "inf", "newest"), ("ZADD", "1e300", "newest")]
)
async def test_what_is_no_number_of_the_order_is_replaced(
    start: StartProcess, tables: Tables, server: Node, damage: tuple[str, ...]
) -> None:
    writer, reader = await start(), await start()
    await acknowledged(writer, tables)
    await reader.trust()
    server.run("DEL", KEY)
    server.run(damage[0], KEY, *damage[1:])
    position = await acknowledged(writer, tables)
    assert await reader.number() == position
    await until(lambda: stored(server) == position)


async def test_a_number_that_is_far_too_high_is_taken_away_by_whoever_waits_in_vain(
    start: StartProcess, tables: Tables, server: Node
) -> None:
    writer, reader = await start(), await start()
    position = await acknowledged(writer, tables)
    await reader.trust()
    server.run("ZADD", KEY, 10**12, "newest")
    async with asyncio.timeout(15):
        while await reader.number() != 10**12:  # too high is not wrong: who asks waits, and then asks the primary
            await asyncio.sleep(0.005)
    reader.barrier.doubt(10**12)
    await until(lambda: stored(server) == position)
    assert await reader.number() == position


# -- The key -----------------------------------------------------------------------------------------------------------


async def test_a_late_writer_does_not_make_an_emptied_cache_say_too_little(
    start: StartProcess, tables: Tables, server: Node
) -> None:
    writer, late = await start(), await start()
    first = commit(tables)
    position = await acknowledged(writer, tables)
    server.run("FLUSHALL")
    await late.announce(first)
    assert stored(server) == position


LOSSES = [("FLUSHALL",), ("DEL", KEY), ("SET", KEY, "garbage")]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss[0])
async def test_who_makes_the_key_does_not_use_a_number_from_before_the_key_was_lost(
    start: StartProcess, tables: Tables, server: Node, monkeypatch: pytest.MonkeyPatch, loss: tuple[str, ...]
) -> None:
    writer, maker = await start(), await start()
    await acknowledged(writer, tables)
    asked, go_on = asyncio.Event(), asyncio.Event()
    genuine = newest
    calls: list[Any] = []

    async def slowly(reads: Reads) -> Any:
        said = await genuine(reads)
        calls.append(said)
        if len(calls) == 1:
            asked.set()
            await go_on.wait()
        return said

    monkeypatch.setattr(newest_number, "newest", slowly)
    making = asyncio.ensure_future(maker.barrier._number.make())
    await asyncio.wait_for(asked.wait(), 10)
    position = await acknowledged(writer, tables)
    server.run(*loss)
    seen: list[float | None] = []
    go_on.set()
    while not making.done():
        seen.append(stored(server) if server.run("TYPE", KEY) == b"zset" else None)
        await asyncio.sleep(0)
    assert set(seen) <= {None, position}
    assert stored(server) == making.result() == position
    assert len(calls) >= 2, "the first number was refused"


async def test_the_server_that_takes_over_may_have_lost_the_newest_numbers(reads: Reads, tables: Tables) -> None:
    with guarded() as servers:
        writer, reader = Process(servers.url, reads), Process(servers.url, reads)
        for process in (writer, reader):
            await process.shared.start()
            process.barrier.start()
        await until(lambda: writer.shared.up and reader.shared.up)
        try:
            old = await acknowledged(writer, tables)
            await until(lambda: stored(servers.replica) == old)
            servers.replica.run("REPLICAOF", "NO", "ONE")
            position = await acknowledged(writer, tables)
            await reader.trust()
            assert (stored(servers.replica), stored(servers.master)) == (old, position)
            servers.sentinel.run("SENTINEL", "REMOVE", "main")
            servers.sentinel.run("SENTINEL", "MONITOR", "main", "127.0.0.1", servers.replica.port, 1)
            servers.master.kill()
            await until(lambda: reader.shared.up and reader.shared.connection_number(b"") != 0)
            assert await reader.number() == position
            await reader.trust()
            assert await reader.number() == position
            await until_stored(servers.replica, position)
        finally:
            for process in (writer, reader):
                await process.barrier.stop()
                await process.shared.stop()


# -- Announcing --------------------------------------------------------------------------------------------------------


async def test_a_writer_without_the_cache_holds_its_oks_until_every_reader_knows(
    start: StartProcess, tables: Tables, server: Node
) -> None:
    async with Cable(server.port) as cable:
        writer, reader = await start(cable.url), await start()
        await acknowledged(writer, tables)
        await reader.trust()
        assert not writer.barrier.announcements.apart
        cable.cut()
        begin = time.monotonic()
        position = commit(tables)
        announcing = asyncio.ensure_future(writer.announce(position))
        while not announcing.done():
            await reader.number()
            await asyncio.sleep(0.001)
        took = time.monotonic() - begin
        assert await reader.number() == position
        assert LEASE_SECONDS < took < HOLD_SECONDS + PATIENCE_SECONDS + SLOW_MACHINE_SECONDS
        # From now on everybody asks the primary, so nobody need be held.
        held = writer.barrier.announcements.held
        for _ in range(20):
            position = await acknowledged(writer, tables)
            assert await reader.number() == position
        assert writer.barrier.announcements.held == held
        assert writer.barrier.announcements.apart
        cable.mend()
        await until(lambda: stored(server) == position)
        await until(lambda: not writer.barrier.announcements.apart)
        await until(lambda: not tables.rows("SELECT FROM relay_unannounced"))
        await reader.trust()
        assert await reader.number() == await acknowledged(writer, tables) - 1


async def test_each_time_that_the_cache_is_lost_the_oks_are_held_anew(
    start: StartProcess, tables: Tables, server: Node
) -> None:
    async with Cable(server.port) as cable:
        writer, reader = await start(cable.url), await start()
        for _ in range(2):
            await acknowledged(writer, tables)
            await until(lambda: not tables.rows("SELECT FROM relay_unannounced"))
            await reader.trust()
            cable.cut()
            await until(lambda: not writer.shared.up)
            begin = time.monotonic()
            position = await acknowledged(writer, tables)
            assert time.monotonic() - begin > LEASE_SECONDS
            assert await reader.number() == position
            cable.mend()
            await until_stored(server, position)


async def test_the_ok_of_an_event_that_another_process_stored_waits_as_well(
    start_relay: StartRelay, tables: Tables, server: Node
) -> None:
    async with Cable(server.port) as cable:
        here = await start_relay(cache_url=server.url, cache_layers="l1+l2")
        there = await start_relay(cache_url=cable.url, cache_layers="l1+l2")
        await until(lambda: here.shared.up and there.shared.up)
        event = sign_event(content="known here and there")
        author, repeater = Client(here), Client(there)
        cable.cut()
        await until(lambda: not there.shared.up)
        await author.publish(event)
        await until(lambda: there.intake.ring.event(event["id"]))
        repeater.say("EVENT", event)
        assert not repeater.messages
        await repeater.until(lambda: bool(repeater.messages))
        assert repeater.messages == [["OK", event["id"], True, "duplicate: already have this event"]]
        assert there.barrier.announcements.held == 1
        assert tables.rows("SELECT FROM relay_unannounced"), "everybody was told before"


# -- Everything at once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_no_number_is_below_one_that_was_acknowledged_whatever_becomes_of_the_cache(
    start: StartProcess, tables: Tables, server: Node, seed: int
) -> None:
    """A lower number that somebody else writes is left out: the next announcement may raise it to less than was there,
    and nobody can tell.
    """
    chance = random.Random(seed)
    highest = 0
    asked = 0
    async with Cable(server.port) as cable:
        writers, readers = [await start(), await start(cable.url)], [await start(), await start(cable.url)]

        async def write(process: Process) -> None:
            nonlocal highest
            while time.monotonic() < end:
                position = await acknowledged(process, tables)
                highest = max(highest, position)
                await asyncio.sleep(chance.choice([0, 0, 0.001, 0.01]))

        async def read(process: Process) -> None:
            nonlocal asked
            while time.monotonic() < end:
                least = highest
                number = await process.number()
                assert number is None or number >= least, f"{number} < {least}, seed {seed}"
                if number is not None and number > highest + 1_000:
                    process.barrier.doubt(number)
                asked += 1
                await asyncio.sleep(chance.choice([0, 0, 0.001]))

        async def harm() -> None:
            harms: list[Callable[[], object]] = [
                lambda: server.run("FLUSHALL"),
                lambda: server.run("DEL", KEY),
                lambda: server.run("SET", KEY, "garbage"),
                lambda: server.run("ZADD", KEY, chance.choice(["1000000000000", "inf"]), "newest"),
                lambda: server.admin.client_pause(chance.choice([20, 80])),
                cable.cut,
                cable.mend,
            ]
            while time.monotonic() < end:
                with contextlib.suppress(Exception):
                    chance.choice(harms)()
                await asyncio.sleep(chance.choice([0.001, 0.02, 0.1, 0.4]))
            cable.mend()

        end = time.monotonic() + 4.0
        await asyncio.gather(*map(write, writers), *map(read, readers), harm())
        assert asked > 50
        for reader in readers:
            async with asyncio.timeout(15):
                while (number := await reader.number()) != highest:
                    reader.barrier.doubt(number or 0)
                    await asyncio.sleep(0.05)
            await reader.trust()

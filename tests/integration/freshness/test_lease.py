"""An instance that has the store for itself: its workers ask nobody, and nobody else is ever missed by them."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest

from relay.caching import sole
from relay.caching.barrier import Barrier
from relay.caching.board import Board, make
from relay.caching.shared import Shared
from relay.caching.sole import HOLD_SECONDS, LEASE_SECONDS
from relay.changes.change import Batch
from relay.protocol.errors import Failed
from relay.storage.reads import Reads
from relay.storage.sole import Claim, claim
from relay.storage.writer import Writer
from relay.storage.written import Outcome
from tests.events import secret, sign_event
from tests.integration.caching.cable import Cable
from tests.integration.caching.valkeys import Node, folder, free_ports, nodes, until
from tests.integration.storage.scribe import Tables, entry

pytestmark = pytest.mark.django_db

EPOCH = 1
KEY = "relay:1:{barrier:1}:newest"
SEEDS = int(os.environ.get("TEST_CACHE_EXAMPLES", "1"))


@pytest.fixture
def server() -> Iterator[Node]:
    with folder() as path, nodes(path, free_ports(1)) as (node,):
        yield node


@pytest.fixture(autouse=True)
def quick_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sole, "CLAIM_SECONDS", 0.2)


class Worker:
    """The barrier and the writer of one process."""

    def __init__(self, board: Board, reads: Reads, url: str | None) -> None:
        self.board = board
        self.shared = Shared(url) if url else None
        self.barrier = Barrier(self.shared, reads, lambda: EPOCH, board)
        self.last = 0
        self._notes = 0
        self.writer = Writer(
            self._committed,
            self.barrier.announce,
            instance=board.name,
            batch_events=10,
            queue_events=10,
            write_seconds=10,
        )

    def _committed(self, batch: Batch) -> None:
        self.last = batch.last

    async def write(self) -> int:
        """Store a note; returns its number once the OK may go out."""
        self._notes += 1
        event = sign_event(secret(1), content=f"{id(self)} {self._notes}")
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.writer.submit(entry(event), lambda _, outcome: told.set_result(outcome))
        assert await asyncio.wait_for(told, 15) is Outcome.STORED
        return self.last

    async def number(self) -> int | None:
        told: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.barrier.join(told.set_result)
        return await asyncio.wait_for(told, 10)

    async def until_alone(self) -> None:
        async with asyncio.timeout(15):
            while not self.barrier.sole.is_alone():
                await self.number()
                await asyncio.sleep(0.01)

    async def until_among_others(self) -> None:
        async with asyncio.timeout(15):
            while not self.barrier.sole.is_among_others():
                await self.number()
                await asyncio.sleep(0.01)


@asynccontextmanager
async def stranger(reads: Reads, board: Board | None = None) -> AsyncIterator[Worker]:
    """A worker of another instance that writes, but neither looks nor says that it is at work."""
    worker = Worker(board or Board.of_one(), reads, None)
    worker.writer.start()
    try:
        yield worker
    finally:
        await worker.writer.stop(1.0)


StartInstance = Callable[..., Awaitable[list[Worker]]]


@pytest.fixture
async def start(reads: Reads, tables: Tables) -> AsyncIterator[StartInstance]:
    async with AsyncExitStack() as started:

        async def begin(url: str | None = None, workers: int = 2) -> list[Worker]:
            descriptor = make(workers)
            instance = [Worker(Board.open(descriptor, slot), reads, url) for slot in range(workers)]
            os.close(descriptor)
            for worker in instance:
                if worker.shared is not None:
                    await worker.shared.start()
                    started.push_async_callback(worker.shared.stop)
                worker.barrier.start()
                started.push_async_callback(worker.barrier.stop)
                worker.writer.start()
                started.push_async_callback(worker.writer.stop, 1.0)
            return instance

        yield begin


def claimed_by(tables: Tables) -> Any:
    ((name,),) = tables.rows("SELECT instance FROM relay_sole")
    return name


async def test_an_instance_that_is_alone_answers_by_its_own_memory(start: StartInstance) -> None:
    writer, reader = await start()
    await reader.until_alone()
    asked = reader.barrier.from_board
    for _ in range(20):
        position = await writer.write()
        assert await reader.number() == position
    assert reader.barrier.from_board == asked + 20


async def test_it_knows_that_it_has_the_claim_while_nobody_asks(start: StartInstance) -> None:
    first = await start()
    await until(lambda: all(worker.barrier.sole.has_claim for worker in first))
    second = await start()
    await until(lambda: not any(worker.barrier.sole.has_claim for worker in (*first, *second)))


async def test_it_tells_the_shared_cache_nothing(start: StartInstance, server: Node) -> None:
    writer, reader = await start(server.url)
    await until(lambda: writer.shared is not None and writer.shared.up)
    await writer.until_alone()
    server.run("FLUSHALL")
    assert await reader.number() <= await writer.write()  # type: ignore[operator]
    assert server.run("EXISTS", KEY) == 0


async def test_a_second_instance_ends_its_claim_and_gives_no_ok_before_it_must_know(
    start: StartInstance, tables: Tables, server: Node
) -> None:
    first, _ = await start(server.url)
    await first.until_alone()
    second, _ = await start(server.url)
    begin = time.monotonic()
    writing = asyncio.ensure_future(second.write())
    while not writing.done():
        await first.number()  # it goes on to be asked
        await asyncio.sleep(0.001)
    assert time.monotonic() - begin > LEASE_SECONDS
    assert not first.barrier.sole.is_alone()
    assert await first.number() >= writing.result()  # type: ignore[operator]
    assert claimed_by(tables) is None
    assert second.barrier.announcements.held_for_claim == 1


async def test_a_writer_that_has_looked_at_nothing_ends_the_claim_of_another(
    start: StartInstance, reads: Reads, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sole, "CLAIM_SECONDS", 60)  # it would claim the store again: nobody says that he is at work
    alone, _ = await start()
    await alone.until_alone()
    async with stranger(reads) as writer:
        position = await writer.write()
        assert claimed_by(tables) is None
        assert await alone.number() >= position  # type: ignore[operator]


async def test_so_does_one_that_finds_only_what_was_stored_already(
    start: StartInstance, reads: Reads, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sole, "CLAIM_SECONDS", 60)
    alone, _ = await start()
    await alone.until_alone()
    await alone.write()
    told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    known = sign_event(secret(1), content=f"{id(alone)} 1")
    async with stranger(reads) as writer:
        writer.writer.submit(entry(known), lambda _, outcome: told.set_result(outcome))
        assert await asyncio.wait_for(told, 10) is Outcome.DUPLICATE
        assert claimed_by(tables) is None


async def test_who_takes_a_claim_over_gives_no_ok_before_its_last_owner_must_know(
    start: StartInstance, reads: Reads, tables: Tables
) -> None:
    last, _ = await start()
    await last.until_alone()
    heir = Board.of_one()
    tables.connection.execute("DELETE FROM relay_instance WHERE name = %s", (last.board.name,))
    tables.connection.execute("UPDATE relay_sole SET serial = serial + 1, instance = %s", (heir.name,))
    async with stranger(reads, heir) as writer:
        position = await writer.write()
        assert await last.number() >= position  # type: ignore[operator]
        assert writer.barrier.announcements.held_for_claim == 1


async def test_without_a_row_of_claims_nobody_is_alone_and_the_database_is_asked(
    start: StartInstance, tables: Tables
) -> None:
    writer, reader = await start()
    await reader.until_alone()
    row = tables.rows("DELETE FROM relay_sole RETURNING serial")
    try:
        async with asyncio.timeout(15):
            while reader.barrier.sole.is_alone():
                await reader.number()
                await asyncio.sleep(0.01)
        position = await writer.write()
        assert await reader.number() == position
    finally:
        tables.connection.execute("INSERT INTO relay_sole (serial) VALUES (%s)", row[0])


async def test_who_is_left_behind_is_alone_again(start: StartInstance, tables: Tables) -> None:
    first, _ = await start()
    second, third = await start()
    await first.until_among_others()
    await second.barrier.stop()
    await third.barrier.stop()
    await first.until_alone()
    assert claimed_by(tables) == first.board.name


async def test_an_instance_that_died_is_forgotten_in_time_and_its_claim_with_it(
    start: StartInstance, tables: Tables
) -> None:
    tables.connection.execute("UPDATE relay_sole SET serial = serial + 1, instance = 'dead'")
    tables.connection.execute("INSERT INTO relay_instance VALUES ('dead', clock_timestamp() - interval '28 seconds')")
    worker, _ = await start()
    await until(lambda: claimed_by(tables) is None)
    await worker.until_alone()


async def test_who_is_not_alone_asks_the_database_when_there_is_no_cache(start: StartInstance) -> None:
    (here,), (there,) = await start(workers=1), await start(workers=1)
    await here.until_among_others()
    asked = here.barrier.asked_primary
    position = await there.write()
    assert await here.number() == position
    assert here.barrier.asked_primary > asked


async def test_a_claim_counts_for_no_longer_than_a_lease(start: StartInstance, reads: Reads) -> None:
    worker, _ = await start()
    await worker.until_alone()
    await reads.close()
    begin = time.monotonic()
    while worker.barrier.sole.is_alone():
        await asyncio.sleep(0.005)
    assert time.monotonic() - begin < LEASE_SECONDS + 1.0
    assert await worker.number() is None


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_no_number_is_below_one_that_was_acknowledged_whoever_comes_and_goes(
    start: StartInstance, tables: Tables, server: Node, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From time to time an instance does not say that it is at work, though it is: the other one claims the store."""
    chance = random.Random(seed)
    highest = alone = among = 0
    silent = ""

    async def claim_unless_silent(reads: Reads, me: str) -> Claim:
        if me == silent:
            raise Failed("it is not heard")
        return await claim(reads, me)

    monkeypatch.setattr(sole, "claim", claim_unless_silent)
    monkeypatch.setattr(sole, "CLAIM_SECONDS", 0.05)
    async with Cable(server.port) as cable:
        instances = [await start(cable.url), await start(server.url)]
        workers = [worker for instance in instances for worker in instance]

        async def write(worker: Worker) -> None:
            nonlocal highest
            while time.monotonic() < end:
                # One that is not heard writes seldom, so that the other one can be alone.
                quiet = worker.board.name == silent
                await asyncio.sleep(chance.choice([0.5, 1.0] if quiet else [0, 0, 0.001, 0.05]))
                highest = max(highest, await worker.write())

        async def read(worker: Worker) -> None:
            nonlocal alone, among
            while time.monotonic() < end:
                least = highest
                alone += worker.barrier.sole.is_alone()
                among += worker.barrier.sole.is_among_others()
                number = await worker.number()
                assert number is not None
                assert number >= least, f"seed {seed}"
                await asyncio.sleep(chance.choice([0, 0, 0.001]))

        async def come_and_go() -> None:
            nonlocal silent
            while time.monotonic() < end:
                silent = chance.choice(workers).board.name
                tables.connection.execute("DELETE FROM relay_instance WHERE name = %s", (silent,))
                await asyncio.sleep(chance.choice([0.1, 0.7, 1.5]))
                silent = ""
                happenings: list[Callable[[], object]] = [cable.cut, cable.mend, partial(server.run, "FLUSHALL")]
                chance.choice(happenings)()
                await asyncio.sleep(chance.choice([0.1, 0.7]))
            cable.mend()

        end = time.monotonic() + 6.0
        await asyncio.gather(*map(write, workers), *map(read, workers), come_and_go())
    assert alone > 50
    assert among > 50


def test_a_hold_outlives_a_lease() -> None:
    assert HOLD_SECONDS > LEASE_SECONDS

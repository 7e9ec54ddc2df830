"""The barrier: no position that is handed out is below one that was acknowledged before the question, lease or not."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from relay.background import BackgroundTasks
from relay.changes.change import Batch
from relay.freshness import lease
from relay.freshness.ack_table import AckTable, make
from relay.freshness.barrier import Barrier, position_now
from relay.freshness.lease import LEASE_SECONDS
from relay.protocol.errors import Failed
from relay.storage.primary import Primary
from relay.storage.store import CURRENT_STORE, Store
from relay.storage.write_result import WriteOutcome
from relay.storage.writer import Writer
from tests.events import secret, sign_event
from tests.integration.caching.valkeys import until
from tests.integration.storage.scribe import Tables, entry

pytestmark = pytest.mark.django_db

SEEDS = int(os.environ.get("TEST_CACHE_EXAMPLES", "1"))


@pytest.fixture(autouse=True)
def quick_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "TAKE_SECONDS", 0.2)


@pytest.fixture(autouse=True)
def followed_store(tables: Tables) -> None:
    Worker.store = Store(*tables.rows(CURRENT_STORE)[0])


class Worker:
    """The barrier and the writer of one process. `store`: the one that all follow."""

    store: Store

    def __init__(self, table: AckTable, primary: Primary) -> None:
        self.table = table
        self.log_key = self.store.log_key
        self.barrier = Barrier(primary, lambda: self.log_key, BackgroundTasks(), table)
        self.last = 0
        self._notes = 0
        self.writer = Writer(
            self._committed,
            self.barrier.acknowledge,
            instance=table.name,
            batch_events=10,
            queue_events=10,
            write_seconds=10,
        )

    def _committed(self, batch: Batch) -> None:
        self.last = batch.last

    async def write(self) -> int:
        """Store a note; returns its position once the OK may go out."""
        self._notes += 1
        event = sign_event(secret(1), content=f"{id(self)} {self._notes}")
        result: asyncio.Future[WriteOutcome] = asyncio.get_running_loop().create_future()
        self.writer.submit(entry(event), lambda _, outcome: result.set_result(outcome))
        assert await asyncio.wait_for(result, 15) is WriteOutcome.STORED
        return self.last

    async def position(self) -> int | None:
        return await asyncio.wait_for(position_now(self.barrier), 10)

    async def until_holding(self) -> None:
        async with asyncio.timeout(15):
            while not self.barrier.lease.is_held():
                await self.position()
                await asyncio.sleep(0.01)


@asynccontextmanager
async def unregistered(primary: Primary, table: AckTable | None = None) -> AsyncIterator[Worker]:
    """A worker of another instance that writes, but is not registered as at work."""
    worker = Worker(table or AckTable.of_one(), primary)
    worker.writer.start()
    try:
        yield worker
    finally:
        await worker.writer.stop(1.0)


StartInstance = Callable[..., Awaitable[list[Worker]]]


@pytest.fixture
async def start(primary: Primary, tables: Tables) -> AsyncIterator[StartInstance]:
    async with AsyncExitStack() as started:

        async def begin(workers: int = 2) -> list[Worker]:
            descriptor = make(workers)
            instance = [Worker(AckTable.open(descriptor, slot), primary) for slot in range(workers)]
            os.close(descriptor)
            for worker in instance:
                worker.barrier.start()
                started.push_async_callback(worker.barrier.stop)
                worker.writer.start()
                started.push_async_callback(worker.writer.stop, 1.0)
            return instance

        yield begin


def holder(tables: Tables) -> Any:
    ((name,),) = tables.rows("SELECT instance FROM relay_lease")
    return name


async def test_a_single_instance_answers_by_its_own_memory(start: StartInstance) -> None:
    writer, reader = await start()
    await reader.until_holding()
    looks, before = reader.barrier.looks, reader.barrier.from_memory
    for _ in range(20):
        position = await writer.write()
        assert await reader.position() == position
    assert reader.barrier.from_memory == before + 20
    assert reader.barrier.looks <= looks + 10  # those that renew the lease


async def test_the_lease_is_known_without_queries(start: StartInstance) -> None:
    first = await start()
    await until(lambda: all(worker.barrier.lease.taken for worker in first))
    second = await start()
    await until(lambda: not any(worker.barrier.lease.taken for worker in (*first, *second)))


async def test_a_second_instance_ends_the_lease_and_its_first_ok_waits_for_the_end(
    start: StartInstance, tables: Tables
) -> None:
    first, _ = await start()
    await first.until_holding()
    second, _ = await start()
    begin = time.monotonic()
    writing = asyncio.ensure_future(second.write())
    while not writing.done():
        await first.position()  # it goes on to be asked
        await asyncio.sleep(0.001)
    assert time.monotonic() - begin > LEASE_SECONDS
    assert not first.barrier.lease.is_held()
    assert await first.position() >= writing.result()  # type: ignore[operator]
    assert holder(tables) is None
    assert second.barrier.held == 1


async def test_a_writer_that_is_not_registered_ends_the_lease(
    start: StartInstance, primary: Primary, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "TAKE_SECONDS", 60)  # it would take the lease again
    monkeypatch.setattr(lease, "FIRST_SECONDS", 60)
    single, _ = await start()
    await single.until_holding()
    async with unregistered(primary) as writer:
        position = await writer.write()
        assert holder(tables) is None
        assert await single.position() >= position  # type: ignore[operator]


async def test_so_does_one_that_finds_only_what_was_stored_already(
    start: StartInstance, primary: Primary, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "TAKE_SECONDS", 60)
    monkeypatch.setattr(lease, "FIRST_SECONDS", 60)
    single, _ = await start()
    await single.until_holding()
    await single.write()
    result: asyncio.Future[WriteOutcome] = asyncio.get_running_loop().create_future()
    known = sign_event(secret(1), content=f"{id(single)} 1")
    async with unregistered(primary) as writer:
        writer.writer.submit(entry(known), lambda _, outcome: result.set_result(outcome))
        assert await asyncio.wait_for(result, 10) is WriteOutcome.DUPLICATE
        assert holder(tables) is None


def taken_over(tables: Tables) -> AckTable:
    """The table of an instance that takes the lease while the last holder is registered no more."""
    heir = AckTable.of_one()
    tables.connection.execute("DELETE FROM relay_instance")
    tables.connection.execute("SELECT relay_lease_take(%s)", (heir.name,))
    return heir


async def test_an_instance_that_takes_over_gives_no_ok_before_the_last_holder_knows(
    start: StartInstance, primary: Primary, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, _ = await start()
    await last.until_holding()
    heir = taken_over(tables)
    async with unregistered(primary, heir) as writer:
        position = await writer.write()
        assert await last.position() >= position  # type: ignore[operator]
        assert writer.barrier.held == 1


async def test_an_instance_that_takes_over_does_not_rely_on_the_lease_while_the_last_holder_may(
    start: StartInstance, primary: Primary, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last holder acknowledges known events from memory until then, without a word to the database."""
    monkeypatch.setattr(lease, "FIRST_SECONDS", 60)  # the last holder would end it
    monkeypatch.setattr(lease, "TAKE_SECONDS", 60)
    last, _ = await start()
    await last.until_holding()
    heir = taken_over(tables)
    async with unregistered(primary, heir) as worker:
        await worker.position()
        assert not worker.barrier.lease.is_held()
        tables.connection.execute("SELECT relay_lease_take(%s)", (heir.name,))  # notes that the last one has ended
        await worker.position()
        assert not worker.barrier.lease.is_held()
        await worker.until_holding()
        assert not last.barrier.lease.is_held()


async def test_the_numbers_of_another_epoch_are_no_positions_of_this_one(start: StartInstance) -> None:
    """A server was promoted, and this process does not follow its epoch yet."""
    worker, _ = await start()
    assert await worker.position() is not None
    worker.log_key += 1
    worker.barrier.begin_epoch()
    assert await worker.position() is None
    assert not worker.barrier.lease.is_held()


async def test_the_instance_that_is_left_takes_the_lease_again(start: StartInstance, tables: Tables) -> None:
    first, _ = await start()
    second, third = await start()
    await until(lambda: not any(worker.barrier.lease.taken for worker in (first, second, third)))
    await second.barrier.stop()
    await third.barrier.stop()
    await first.until_holding()
    assert holder(tables) == first.table.name


async def test_an_instance_that_died_loses_its_lease_in_time(start: StartInstance, tables: Tables) -> None:
    tables.connection.execute("UPDATE relay_lease SET instance = 'dead'")
    tables.connection.execute("INSERT INTO relay_instance VALUES ('dead', clock_timestamp() - interval '28 seconds')")
    worker, _ = await start()
    await until(lambda: holder(tables) is None)
    await worker.until_holding()


async def test_several_instances_ask_the_primary(start: StartInstance) -> None:
    (here,), (there,) = await start(workers=1), await start(workers=1)
    await until(lambda: not here.barrier.lease.taken and not here.barrier.lease.is_held())
    looks = here.barrier.looks
    position = await there.write()
    assert await here.position() == position
    assert here.barrier.looks > looks


async def test_queries_of_one_turn_share_a_statement(start: StartInstance) -> None:
    (here,), _ = await start(workers=1), await start(workers=1)
    await until(lambda: not here.barrier.lease.taken and not here.barrier.lease.is_held())
    looks = here.barrier.looks
    await asyncio.gather(*[here.position() for _ in range(100)])
    assert here.barrier.looks <= looks + 2  # the first question does not wait for the others


async def test_a_lease_is_relied_on_for_a_limited_time_after_a_statement(
    start: StartInstance, primary: Primary
) -> None:
    worker, _ = await start()
    await worker.until_holding()
    await primary.close()
    begin = time.monotonic()
    while worker.barrier.lease.is_held():
        await asyncio.sleep(0.005)
    assert time.monotonic() - begin < LEASE_SECONDS + 1.0
    assert await worker.position() is None


async def test_a_question_that_raises_does_not_harm_the_others(start: StartInstance, tables: Tables) -> None:
    (here,), _ = await start(workers=1), await start(workers=1)
    await until(lambda: not here.barrier.lease.taken and not here.barrier.lease.is_held())

    def broken(position: int | None) -> None:
        raise ValueError("broken")

    here.barrier.join(broken)
    here.barrier.join(broken)
    assert await here.position() is not None


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_no_position_is_below_one_that_was_acknowledged_while_instances_come_and_go(
    start: StartInstance, tables: Tables, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From time to time an instance is not registered, though it is at work: the other one takes the lease."""
    chance = random.Random(seed)
    highest = held = asked = 0
    silent = ""
    take = Primary.take_lease

    async def take_unless_silent(primary: Primary, instance: str) -> bool:
        if instance == silent:
            raise Failed("it is not heard")
        return await take(primary, instance)

    monkeypatch.setattr(Primary, "take_lease", take_unless_silent)
    monkeypatch.setattr(lease, "TAKE_SECONDS", 0.05)
    instances = [await start(), await start()]
    workers = [worker for instance in instances for worker in instance]

    async def write(worker: Worker) -> None:
        nonlocal highest
        while time.monotonic() < end:
            # One that is not heard writes seldom, so that the other one can hold the lease.
            quiet = worker.table.name == silent
            await asyncio.sleep(chance.choice([0.5, 1.0] if quiet else [0, 0, 0.001, 0.05]))
            written = await worker.write()
            highest = max(highest, written)

    async def read(worker: Worker) -> None:
        nonlocal held, asked
        while time.monotonic() < end:
            least = highest
            if worker.barrier.lease.is_held():
                held += 1
            else:
                asked += 1
            position = await worker.position()
            assert position is not None
            assert position >= least, f"seed {seed}"
            await asyncio.sleep(chance.choice([0, 0, 0.001]))

    async def come_and_go() -> None:
        nonlocal silent
        while time.monotonic() < end:
            silent = chance.choice(workers).table.name
            tables.connection.execute("DELETE FROM relay_instance WHERE name = %s", (silent,))
            await asyncio.sleep(chance.choice([0.1, 0.7, 1.5]))
            silent = ""
            await asyncio.sleep(chance.choice([0.1, 0.7]))

    end = time.monotonic() + 6.0
    await asyncio.gather(*map(write, workers), *map(read, workers), come_and_go())
    assert held > 50
    assert asked > 50


def test_an_ok_is_held_for_longer_than_a_lease_is_relied_on(tables: Tables) -> None:
    tables.connection.execute("UPDATE relay_lease SET instance = 'another'")
    ((milliseconds,),) = tables.rows("SELECT relay_lease_respect('me')")
    assert milliseconds / 1000 > LEASE_SECONDS

"""One fetch for several instances: a lock in the shared cache, and no harm when it fails."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from relay.caching.flight import Across, lock_key
from relay.caching.shared import Shared
from relayproject.runtime.valkey import EmbeddedValkey
from tests.integration.caching.valkeys import one_server, until

KEY = b"results:{x}"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedValkey]:
    with one_server() as one:
        yield one


class Instance:
    """A process: its client of the shared cache, and a fetch that writes there."""

    def __init__(self, shared: Shared, wait_seconds: float = 10.0, lock_seconds: float = 10.0) -> None:
        self.shared = shared
        self.across = Across(shared, lock_seconds=lock_seconds, wait_seconds=wait_seconds)
        self.fetched = 0
        self.let_go = asyncio.Event()
        self.failure: Exception | None = None

    async def read(self) -> bytes | None:
        return (await self.shared.get_many([KEY]))[0]

    async def fetch(self) -> bytes:
        self.fetched += 1
        await self.let_go.wait()
        if self.failure is not None:
            raise self.failure
        self.shared.set(KEY, b"value", 60)
        return b"value"

    async def ask(self) -> bytes:
        return await self.across.fetch(KEY, self.read, self.fetch)


@pytest_asyncio.fixture
async def instances(server: EmbeddedValkey) -> AsyncIterator[list[Instance]]:
    made = [Instance(Shared(server.url, patience_seconds=5.0)) for _ in range(3)]
    for one in made:
        await one.shared.start()
    await until(lambda: all(one.shared.up for one in made))
    await made[0].shared.call(b"", b"FLUSHALL")
    yield made
    for one in made:
        await one.shared.stop()


async def test_the_others_wait_for_the_value_of_the_first(instances: list[Instance]) -> None:
    first, *others = instances
    leading = asyncio.create_task(first.ask())
    await until(lambda: first.fetched)
    waiting = [asyncio.create_task(one.ask()) for one in others]
    first.let_go.set()
    assert await asyncio.gather(leading, *waiting) == [b"value"] * 3
    assert [one.fetched for one in instances] == [1, 0, 0]
    assert [one.across.waited for one in instances] == [0, 1, 1]


async def test_the_lock_is_gone_after_the_fetch(instances: list[Instance]) -> None:
    first = instances[0]
    first.let_go.set()
    await first.ask()
    assert await first.shared.call(KEY, b"EXISTS", lock_key(KEY)) == 0


async def test_when_the_first_fails_another_fetches(instances: list[Instance]) -> None:
    first, second, _ = instances
    first.failure = OSError("gone")
    leading = asyncio.create_task(first.ask())
    await until(lambda: first.fetched)
    second.let_go.set()
    waiting = asyncio.create_task(second.ask())
    first.let_go.set()
    with pytest.raises(OSError, match="gone"):
        await leading
    assert await waiting == b"value"
    assert second.across.led == 1


async def test_a_value_that_came_between_the_look_and_the_lock_is_not_fetched_again(instances: list[Instance]) -> None:
    first, second, _ = instances
    leading = asyncio.create_task(first.ask())
    await until(lambda: first.fetched)
    looks = 0

    async def look_too_early() -> bytes | None:
        nonlocal looks
        looks += 1
        found = await second.read()
        first.let_go.set()
        await leading
        return found

    assert await second.across.fetch(KEY, look_too_early, second.fetch) == b"value"
    assert (looks, second.fetched) == (2, 0)


async def test_nobody_waits_longer_than_the_limit(instances: list[Instance], server: EmbeddedValkey) -> None:
    first, second, _ = instances
    hurried = Instance(second.shared, wait_seconds=0.05)
    leading = asyncio.create_task(first.ask())
    await until(lambda: first.fetched)
    hurried.let_go.set()
    assert await hurried.ask() == b"value"
    assert hurried.across.alone == 1
    assert not leading.done()
    first.let_go.set()
    await leading


async def test_a_lock_that_became_anothers_is_not_released(instances: list[Instance]) -> None:
    first, second, _ = instances
    leading = asyncio.create_task(first.ask())
    await until(lambda: first.fetched)
    await first.shared.call(KEY, b"DEL", lock_key(KEY))  # as if it had run out
    other = asyncio.create_task(second.ask())
    await until(lambda: second.fetched)
    first.let_go.set()
    await leading
    assert await first.shared.call(KEY, b"EXISTS", lock_key(KEY)) == 1
    second.let_go.set()
    await other


async def test_one_who_goes_away_leaves_no_lock(instances: list[Instance]) -> None:
    first = instances[0]
    leading = asyncio.create_task(first.ask())
    await until(lambda: first.fetched)
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    assert await first.shared.call(KEY, b"EXISTS", lock_key(KEY)) == 0


async def test_without_the_shared_cache_everybody_fetches() -> None:
    shared = Shared("unix:///nowhere")
    await shared.start()
    alone = Instance(shared)
    alone.let_go.set()
    assert await alone.ask() == b"value"
    assert alone.across.alone == 1
    await shared.stop()

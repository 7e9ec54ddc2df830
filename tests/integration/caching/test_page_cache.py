"""Pages in the shared cache: what the log says was served, of this store and epoch alone, and nothing private."""

from collections.abc import AsyncIterator

import pytest

from relay.caching.page import Page
from relay.caching.page_cache import PageCache, event_filter, profile_filter
from relay.caching.record import digest, key
from relay.caching.shared import Shared
from relay.changes.change import Added, Batch, Removed
from relay.changes.ring import Ring
from relay.protocol.event import StoredEvent
from relay.storage.store import Store
from tests.events import NOW
from tests.integration.caching.valkeys import one_server, until
from tests.unit.changes.orders import note

STORE = Store("a" * 16, "b" * 16, 1)


@pytest.fixture
async def shared() -> AsyncIterator[Shared]:
    with one_server() as server:
        made = Shared(server.url, 2.0)
        await made.start()
        await until(lambda: made.up)
        yield made
        await made.stop()


class Process:
    """The events of one process: a ring, and its pages."""

    def __init__(self, shared: Shared, position: int = 0, store: Store = STORE) -> None:
        self.ring = Ring(position, 10**9)
        self.store = store
        self.pages = PageCache("events", lambda: self.ring, shared, lambda: self.store)

    def keep(self, event: StoredEvent, position: int) -> Page:
        page = Page(event_filter(event.id), position, [event.json], True)
        self.pages.keep(page, self.ring)
        return page

    def finds(self, event: StoredEvent) -> bool:
        page = self.pages.find(event_filter(event.id), NOW)
        return page is not None and list(page.texts) == [event.json]

    async def loads(self, event: StoredEvent) -> bool:
        return await self.pages.load([event_filter(event.id)]) == 1


async def shared_event(shared: Shared, event: StoredEvent, position: int = 1) -> Process:
    """A process that has asked for the event twice, so that the shared cache has it."""
    process = Process(shared, position)
    process.keep(event, position)
    assert process.finds(event)
    await shared.call(b"any", b"PING")
    return process


async def test_what_one_process_was_asked_for_again_another_one_finds(shared: Shared) -> None:
    event = note(1)
    await shared_event(shared, event)
    there = Process(shared, 1)
    assert await there.loads(event)
    assert there.finds(event)


async def test_what_was_asked_for_once_is_not_written_to_the_shared_cache(shared: Shared) -> None:
    event = note(1)
    Process(shared, 1).keep(event, 1)
    await shared.call(b"any", b"PING")
    assert not await Process(shared, 1).loads(event)


@pytest.mark.parametrize(
    "other", [Store("c" * 16, "b" * 16, 1), Store("a" * 16, "b" * 16, 2), Store("a" * 16, "d" * 16, 1)]
)
async def test_another_store_epoch_or_generation_finds_nothing(shared: Shared, other: Store) -> None:
    event = note(1)
    await shared_event(shared, event)
    assert not await Process(shared, 1, other).loads(event)


async def test_an_event_that_was_removed_since_it_was_shared_is_not_found(shared: Shared) -> None:
    event = note(1)
    await shared_event(shared, event)
    there = Process(shared, 1)
    assert await there.loads(event)
    there.ring.append(Batch.of([Removed(2, event.id)]))
    assert not there.finds(event)
    await there.loads(event)  # the old copy still stands in the shared cache
    assert not there.finds(event)
    there.ring.append(Batch.of([Added(3, event)]))
    assert there.finds(event)


async def test_a_removal_drops_the_copy_in_every_process(shared: Shared) -> None:
    event = note(1)
    here = await shared_event(shared, event)
    here.pages.drop(event_filter(event.id))
    await shared.call(b"any", b"PING")
    assert not here.finds(event)
    assert not await Process(shared, 1).loads(event)


async def test_a_copy_that_the_ring_does_not_reach_is_of_no_use(shared: Shared) -> None:
    event = note(1)
    await shared_event(shared, event, 1)
    late = Process(shared, 2)
    assert not await late.loads(event)
    assert not late.finds(event)


async def test_a_damaged_value_is_a_miss_and_counted(shared: Shared) -> None:
    event = note(1)
    await shared_event(shared, event)
    name = key(STORE.name, "events", digest(event_filter(event.id)))
    await shared.call(name, b"SETRANGE", name, 30, b"?")
    there = Process(shared, 1)
    assert not await there.loads(event)
    assert there.pages.l2.errors == 1


async def test_what_has_expired_is_not_shared(shared: Shared) -> None:
    event = note(1, tags=[["expiration", str(NOW - 1)]])
    await shared_event_page(shared, event)
    assert not await Process(shared, 1).loads(event)


async def shared_event_page(shared: Shared, event: StoredEvent) -> None:
    process = Process(shared, 1)
    process.pages.share([process.keep(event, 1)])
    await shared.call(b"any", b"PING")


async def test_a_profile_is_brought_forward_by_the_ring(shared: Shared) -> None:
    old, new = note(1, kind=0), note(2, kind=0, created_at=NOW + 1)
    ring = Ring(0, 10**9)
    profiles = PageCache("profiles", lambda: ring, None, lambda: STORE)
    flt = profile_filter(old.pubkey)
    profiles.keep(Page(flt, 0, [], True), ring)
    ring.append(Batch.of([Added(1, old)]))
    page = profiles.find(flt, NOW)
    assert page is not None
    assert list(page.texts) == [old.json]
    ring.append(Batch.of([Removed(2, old.id), Added(3, new)]))
    page = profiles.find(flt, NOW)
    assert page is not None
    assert list(page.texts) == [new.json]

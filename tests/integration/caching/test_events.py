"""Events by id in the shared cache: what the log says was served, and nothing that no client may see."""

from collections.abc import AsyncIterator

import pytest

from relay.caching.events import Events
from relay.caching.record import event_key
from relay.caching.shared import Shared
from relay.changes.change import Added, Batch, Removed
from relay.changes.ring import Ring
from relay.protocol.visibility import NEVER_SERVED_KINDS
from tests.integration.caching.valkeys import one_server, until
from tests.unit.changes.orders import note

EPOCH = 1


@pytest.fixture
async def shared() -> AsyncIterator[Shared]:
    with one_server() as server:
        made = Shared(server.url, 2.0)
        await made.start()
        await until(lambda: made.up)
        yield made
        await made.stop()


async def test_what_is_never_served_is_not_shared(shared: Shared) -> None:
    hidden = [note(number, kind=kind) for number, kind in enumerate(sorted(NEVER_SERVED_KINDS))]
    shown = note(99)
    events = Events(shared, lambda: EPOCH)
    events.published(Batch.of([Added(seq, event) for seq, event in enumerate([*hidden, shown], 1)]))
    values = await shared.get_many([event_key(EPOCH, event.id) for event in [*hidden, shown]])
    assert [value is not None for value in values] == [False] * len(hidden) + [True]


async def test_an_event_that_was_removed_since_it_was_shared_is_not_found(shared: Shared) -> None:
    event, ring = note(1), Ring(0, 10**9)
    here, there = Events(shared, lambda: EPOCH), Events(shared, lambda: EPOCH)
    here.published(Batch.of([Added(1, event)]))
    ring.append(Batch.of([Added(1, event)]))
    assert await there.load([event.id], lambda: ring) == 1
    assert there.find(event.id, ring) is not None
    ring.append(Batch.of([Removed(2, event.id)]))
    assert there.find(event.id, ring) is None
    await there.load([event.id], lambda: ring)  # the old copy still stands in the shared cache
    assert there.find(event.id, ring) is None
    ring.append(Batch.of([Added(3, event)]))
    await there.load([event.id], lambda: ring)
    assert there.find(event.id, ring) is None, "what came since is for the ring to say"


async def test_a_copy_that_the_ring_does_not_reach_is_of_no_use(shared: Shared) -> None:
    event = note(1)
    events = Events(shared, lambda: EPOCH)
    events.published(Batch.of([Added(1, event)]))
    ring = Ring(2, 10**9)
    assert await events.load([event.id], lambda: ring) == 0
    assert events.find(event.id, ring) is None

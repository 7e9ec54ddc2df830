"""The bus on a real Valkey: batches as they were sent, and an end at any moment."""

import asyncio

import pytest

from relay.changes.change import Added, Batch, Removed
from relay.protocol.event import StoredEvent
from relay.storage.store import Store
from relay.subscriptions.bus import MAX_QUEUED, Bus, pack, unpack
from tests.unit.changes.orders import POOL, note, stored

STORE = Store("a" * 16, "b" * 16, 3)


class Listener:
    """A bus, and what it has brought."""

    def __init__(self, store: Store = STORE) -> None:
        self.batches: list[Batch] = []
        self.ephemeral: list[StoredEvent] = []
        self.store = store
        self.bus = Bus(self.batches.append, self.ephemeral.append, lambda: self.store)
        self.bus.start()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.batches) < count:
                await asyncio.sleep(0.005)


async def introduced(speaker: Listener, listener: Listener) -> None:
    """Returns when the listener hears the speaker."""
    async with asyncio.timeout(5):
        while not listener.ephemeral:
            speaker.bus.publish_ephemeral(note(0, kind=20_001))
            await asyncio.sleep(0.01)


def test_a_batch_is_read_as_it_was_packed() -> None:
    removed = Removed(7, "ab" * 32)
    added = [Added(8 + number, stored(event)) for number, event in enumerate(POOL[:30])]
    batch = Batch.of([removed, *added])
    assert unpack(pack(batch)) == batch


async def test_batches_arrive_in_the_order_in_which_they_were_sent_and_not_at_home() -> None:
    speaker, listener = Listener(), Listener()
    try:
        await introduced(speaker, listener)
        sent = [Batch.of([Added(number, note(number)), Removed(number + 1, "0" * 64)]) for number in range(1, 60, 2)]
        for batch in sent:
            speaker.bus.publish(batch)
        await listener.until(len(sent))
        assert (listener.batches, speaker.batches) == (sent, [])
    finally:
        await speaker.bus.stop()
        await listener.bus.stop()


async def test_a_bus_ends_at_once_whatever_it_is_doing() -> None:
    """A cancellation can get lost in the Redis client; the end of a worker must not hang on it."""
    for turn in range(25):
        bus = Bus(lambda batch: None, lambda event: None, lambda: STORE)
        bus.start()
        for number in range(turn):
            bus.publish_ephemeral(note(number, kind=20_001))
            await asyncio.sleep(0)
        await asyncio.wait_for(bus.stop(), 5)


@pytest.mark.parametrize(
    "other", [Store("a" * 16, "b" * 16, 2), Store("a" * 16, "c" * 16, 3)], ids=["epoch", "generation"]
)
async def test_a_late_batch_of_another_epoch_or_generation_is_dropped_and_counted(other: Store) -> None:
    speaker, listener, late = Listener(), Listener(), Listener(other)
    try:
        await introduced(speaker, listener)
        dropped = listener.bus.other_store
        async with asyncio.timeout(5):
            while listener.bus.other_store == dropped:
                late.bus.publish(Batch.of([Added(1, note(1))]))
                await asyncio.sleep(0.01)
        speaker.bus.publish(Batch.of([Added(1, note(2))]))
        await listener.until(1)
        assert listener.batches == [Batch.of([Added(1, note(2))])]
    finally:
        for each in (speaker, listener, late):
            await each.bus.stop()


def test_only_a_later_epoch_of_the_same_store_says_that_a_server_was_promoted() -> None:
    others = [Store("a" * 16, "c" * 16, 4), STORE, Store("a" * 16, "c" * 16, 2), Store("d" * 16, "c" * 16, 4)]
    assert [STORE.is_before(other.name) for other in others] == [True, False, False, False]


async def test_messages_of_another_store_do_not_arrive() -> None:
    speaker, listener, stranger = Listener(), Listener(), Listener(Store("d" * 16, "b" * 16, 3))
    try:
        await introduced(speaker, listener)
        stranger.bus.publish(Batch.of([Added(1, note(1))]))
        async with asyncio.timeout(5):
            while not stranger.bus.sent:
                await asyncio.sleep(0.01)
        speaker.bus.publish(Batch.of([Added(1, note(2))]))
        await listener.until(1)
        assert listener.batches == [Batch.of([Added(1, note(2))])]
        assert listener.bus.other_store == 0
    finally:
        for each in (speaker, listener, stranger):
            await each.bus.stop()


async def test_a_flood_of_ephemeral_events_leaves_room_for_changes() -> None:
    bus = Bus(lambda batch: None, lambda event: None, lambda: STORE)  # not started: nothing leaves its queue
    for _ in range(MAX_QUEUED):
        bus.publish_ephemeral(note(0, kind=20_001))
    flood = bus.dropped
    for number in range(1, flood + 1):
        bus.publish(Batch.of([Added(number, note(1))]))
    assert (flood, bus.dropped) == (MAX_QUEUED // 2, MAX_QUEUED // 2)
    bus.publish(Batch.of([Added(flood + 1, note(1))]))
    assert bus.dropped == flood + 1


async def test_what_waits_to_be_sent_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch.of([Added(1, note(1))])
    monkeypatch.setattr("relay.subscriptions.bus.MAX_QUEUED_BYTES", 3 * len(pack(batch)))
    bus = Bus(lambda batch: None, lambda event: None, lambda: STORE)
    for _ in range(10):
        bus.publish(batch)
    assert bus.dropped == 6  # the last one may reach beyond the bound

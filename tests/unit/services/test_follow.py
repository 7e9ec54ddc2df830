"""Holes in the order: the log is read for one that stays, not for those that load leaves everywhere for a moment."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from types import SimpleNamespace

import pytest

from relay.background import BackgroundTasks
from relay.changes.change import Batch, Change
from relay.changes.intake import Intake
from relay.changes.ring import Ring
from relay.protocol.errors import Failed
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.services import follow
from relay.services.follow import Follower
from relay.services.primary_watch import PrimaryWatch
from relay.storage.primary import Heartbeat, Primary
from relay.storage.store import Store
from relay.subscriptions.hub import Hub
from relay.subscriptions.outbox import Flusher, Outbox
from relay.subscriptions.subscription import Subscription
from tests.unit.changes.orders import additions

STORE = Store("a" * 16, "b" * 16, 1)


class Waits:
    """What happens while the follower waits for a straggler, in place of time; then nothing more."""

    def __init__(self) -> None:
        self.happenings: list[Callable[[], None]] = []
        self.heartbeats = 0

    async def sleep(self, seconds: float) -> None:
        if seconds == follow.HEARTBEAT_SECONDS and self.heartbeats:
            self.heartbeats -= 1
        elif seconds != follow.GAP_SECONDS:
            await asyncio.Event().wait()
        elif self.happenings:
            self.happenings.pop(0)()


SILENCE = Heartbeat(-1, Store("", "", 0))
"""A heartbeat without an answer."""


class Order:
    """A follower at the begin of an order whose changes come one by one, and the reads of its log."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits = Waits()
        self.read = asyncio.Event()
        monkeypatch.setattr(follow, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": self.waits.sleep}))
        primary = Primary(1.0)
        monkeypatch.setattr(primary, "changes_after", self._changes_after)
        monkeypatch.setattr(primary, "heartbeat", self._heartbeat)
        monkeypatch.setattr(primary, "position", self._position)
        self.heartbeats: list[Heartbeat] = []
        self.log: Batch | None = None
        self.positions: list[asyncio.Future[int]] = []
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.faults = 0
        self.on_changes: Callable[[Sequence[Change]], None] = lambda changes: None
        intake = Intake(Ring(0, 1_000_000))
        self.hub = Hub(intake)
        self.replicated = 0
        self.watch = PrimaryWatch(
            on_gone=lambda: self.seen.append("gone"),
            on_alone=lambda: self.seen.append("alone"),
            on_back=lambda: self.seen.append("back"),
            replicated=lambda: self.replicated,
        )
        self.follower = Follower(
            intake,
            self.hub,
            primary,
            self.watch,
            BackgroundTasks(),
            bus_is_up=lambda: True,
            on_changes=self._on_changes,
            on_cache_fault=self._cache_fault,
            on_lost=self.lost.set_result,
        )
        self.seen: list[str] = []
        self.changes = additions(20)
        self.intake = intake

    def come(self, *numbers: int) -> None:
        for number in numbers:
            self.follower.apply(Batch.of([self.changes[number - 1]]))

    def _on_changes(self, changes: Sequence[Change]) -> None:
        self.on_changes(changes)

    def _cache_fault(self) -> None:
        self.faults += 1

    async def _changes_after(self, position: int) -> Batch | None:
        self.read.set()
        if self.log is None:
            raise Failed("there is no log here")
        return self.log if position < self.log.last else None

    async def _heartbeat(self) -> Heartbeat:
        beat = self.heartbeats.pop(0)
        if beat is SILENCE:
            raise Failed("query timed out")
        return beat

    async def _position(self) -> int:
        """Answered when the test says so."""
        self.positions.append(asyncio.get_running_loop().create_future())
        return await self.positions[-1]


@pytest.fixture
async def order(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Order]:
    order = Order(monkeypatch)
    order.follower.start(Heartbeat(0, STORE))
    yield order
    await order.follower.stop()


async def test_a_hole_that_stays_is_read_from_the_log(order: Order) -> None:
    order.come(2)
    await asyncio.wait_for(order.read.wait(), 5)


async def test_holes_that_close_by_themselves_cost_no_read_of_the_log(order: Order) -> None:
    # Each wait closes one gap and finds another; the last wait closes it for good.
    order.waits.happenings = [partial(order.come, first, first + 3) for first in range(1, 15, 2)]
    order.waits.happenings += [partial(order.come, 15)]
    order.come(2)
    async with asyncio.timeout(5):
        while order.intake.ring.position < 16:
            await asyncio.sleep(0)
    assert not order.read.is_set()


async def test_batches_that_come_while_deliveries_wait_are_read_from_the_log_later(
    order: Order,
) -> None:
    order.hub.backlog.is_full = True
    order.come(1)
    order.come(2)
    assert (order.intake.ring.position, order.follower.lag, order.follower.refused) == (0, 2, 2)
    order.log = Batch.of(order.changes[:2])
    await asyncio.sleep(0)
    assert not order.read.is_set()
    order.hub.backlog.drop()
    async with asyncio.timeout(5):
        while order.intake.ring.position < 2:
            if order.positions and not order.positions[-1].done():
                order.positions[-1].set_result(2)
            await asyncio.sleep(0)


async def test_a_log_that_ends_before_what_was_applied_is_a_loss(order: Order) -> None:
    """The data folder was replaced by an older copy: no other store, but its numbers are used again."""
    order.come(1)
    order.come(2)
    order.heartbeats = [Heartbeat(1, STORE)]
    order.waits.heartbeats = 1
    await order.follower.stop()
    order.follower.start(Heartbeat(2, STORE))
    assert "ends at 1" in await asyncio.wait_for(order.lost, 5)
    assert order.follower.losses == 1


async def test_the_bus_is_not_trusted_just_after_a_restart_of_the_server(order: Order) -> None:
    """Until every process has noticed it, messages name another generation and are dropped."""
    order.heartbeats = [Heartbeat(1, Store(STORE.identity, "c" * 16, STORE.epoch))]
    order.waits.heartbeats = 1
    await order.follower.stop()
    order.follower.start(Heartbeat(0, STORE))
    await asyncio.wait_for(order.read.wait(), 5)


async def test_of_two_reads_of_the_log_the_one_that_came_later_says_where_it_is_complete(order: Order) -> None:
    """The gap and the heartbeat read at once, on two connections: the answers may come in the other order."""
    order.log = Batch.of(order.changes[:5])
    order.heartbeats = [Heartbeat(5, STORE), Heartbeat(5, STORE)]
    order.waits.heartbeats = 2
    await order.follower.stop()
    order.follower.start(Heartbeat(0, STORE))
    order.come(3)
    async with asyncio.timeout(5):
        while len(order.positions) < 2:
            await asyncio.sleep(0)
    order.positions[1].set_result(9)
    while not order.intake.ring.position:
        await asyncio.sleep(0)
    order.positions[0].set_result(7)
    for _ in range(5):
        await asyncio.sleep(0)
    assert order.intake.ring.complete_from == 9


class _Wire:
    """Takes what is sent."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send_frames(self, frames: Sequence[bytes]) -> None:
        self.frames += frames

    def buffered_bytes(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Nothing is read here."""

    def resume_reading(self) -> None:
        """See pause_reading."""

    def close(self, code: int, reason: str) -> None:
        """Nothing is closed here."""

    def cut(self) -> None:
        """See close."""


async def test_a_fault_of_a_cache_costs_the_cache_and_no_live_event(order: Order) -> None:
    def broken(changes: Sequence[Change]) -> None:
        raise ValueError("the cache is broken")

    order.on_changes = broken
    wire = _Wire()
    outbox = Outbox(wire, Flusher(), 1_000_000, lambda: None)
    subscription = Subscription(outbox, b'["EVENT","s",', [parse_filter({}, Limits())])
    order.hub.open(subscription)
    order.hub.release(subscription, 0)
    order.come(1)
    order.come(2)
    outbox.flush()
    assert len(wire.frames) == 2
    assert order.faults == 2


async def test_a_fault_of_the_delivery_keeps_no_change_from_the_caches(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(changes: Sequence[Change]) -> None:
        raise ValueError("the hub is broken")

    monkeypatch.setattr(order.hub, "deliver", broken)
    applied: list[Change] = []
    order.on_changes = applied.extend
    order.come(1)
    order.come(2)
    assert [change.seq for change in applied] == [1, 2]


async def test_another_generation_is_followed_and_another_epoch_is_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    order = Order(monkeypatch)
    order.follower.store = STORE
    restarted = Store(STORE.identity, "c" * 16, STORE.epoch)
    assert order.follower.check(restarted)
    assert order.follower.store == restarted
    assert not order.follower.check(Store(STORE.identity, "c" * 16, STORE.epoch + 1))
    assert not order.follower.check(Store("d" * 16, "c" * 16, STORE.epoch))
    assert order.follower.store == restarted

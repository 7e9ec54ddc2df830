"""Holes in the order: the log is read for one that stays, not for those that load leaves everywhere for a moment."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from types import SimpleNamespace

import pytest

from relay.changes.change import Batch
from relay.changes.intake import Intake
from relay.changes.ring import Ring
from relay.protocol.errors import Failed
from relay.services import follow
from relay.services.follow import Follower
from relay.storage.log import Heartbeat
from relay.storage.reads import Reads
from relay.subscriptions.hub import Hub
from tests.unit.changes.orders import additions


class Waits:
    """What happens while the follower waits for a straggler, in place of time; then nothing more."""

    def __init__(self) -> None:
        self.happenings: list[Callable[[], None]] = []

    async def sleep(self, seconds: float) -> None:
        if seconds != follow.STRAGGLER_SECONDS:
            await asyncio.Event().wait()
        elif self.happenings:
            self.happenings.pop(0)()


class Order:
    """A follower at the begin of an order whose changes come one by one, and the reads of its log."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits = Waits()
        self.read = asyncio.Event()
        monkeypatch.setattr(follow, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": self.waits.sleep}))
        monkeypatch.setattr(follow, "changes_after", self._changes_after)
        intake = Intake(Ring(0, 1_000_000))
        self.follower = Follower(
            intake,
            Hub(intake),
            Reads(1, 1.0),
            bus_is_up=lambda: True,
            on_changes=lambda changes: None,
            on_lost=lambda why: None,
        )
        self.changes = additions(20)
        self.intake = intake

    def come(self, *numbers: int) -> None:
        for number in numbers:
            self.follower.apply(Batch.of([self.changes[number - 1]]))

    async def _changes_after(self, _reads: Reads, _position: int) -> Batch | None:
        self.read.set()
        raise Failed("there is no log here")


@pytest.fixture
async def order(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Order]:
    order = Order(monkeypatch)
    order.follower.start(Heartbeat(0, 1))
    yield order
    await order.follower.stop()


async def test_a_hole_that_stays_is_read_from_the_log(order: Order) -> None:
    order.come(2)
    await asyncio.wait_for(order.read.wait(), 5)


async def test_holes_that_close_by_themselves_cost_no_read_of_the_log(order: Order) -> None:
    # Each wait closes the hole that was there and finds another one; the last wait closes it for good.
    order.waits.happenings = [partial(order.come, first, first + 3) for first in range(1, 15, 2)]
    order.waits.happenings += [partial(order.come, 15)]
    order.come(2)
    async with asyncio.timeout(5):
        while order.intake.ring.position < 16:
            await asyncio.sleep(0)
    assert not order.read.is_set()

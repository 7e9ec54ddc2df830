"""A primary that does not answer: it is gone for all, or for this process alone."""

import pytest

from relay.services import primary_watch
from relay.storage.primary import Heartbeat
from tests.unit.services.test_follow import SILENCE, STORE, Order, order

__all__ = ["order"]


async def test_the_primary_is_gone_after_two_heartbeats_in_a_row_without_an_answer(order: Order) -> None:
    answer = Heartbeat(0, STORE)
    order.heartbeats = [SILENCE, answer, SILENCE, SILENCE, SILENCE, answer, answer]
    seen = []
    while order.heartbeats:
        await order.follower.beat()
        seen.append(order.watch.is_up)
    assert seen == [True, True, True, False, False, True, True]
    assert order.seen == ["gone", "back"]


async def test_nothing_says_that_the_primary_answers_others_until_the_bus_names_a_later_epoch(order: Order) -> None:
    order.heartbeats = [SILENCE, SILENCE, Heartbeat(0, STORE)]
    for _ in range(2):
        await order.follower.beat()
    assert order.watch.is_gone_for_all
    order.watch.later_epoch()
    assert not order.watch.is_gone_for_all
    assert not order.watch.is_alone  # clients stay until another heartbeat is not answered
    await order.follower.beat()
    assert order.watch.is_up
    assert not order.watch.is_gone_for_all


async def test_a_later_epoch_that_was_named_before_the_primary_was_found_gone_is_not_forgotten(order: Order) -> None:
    order.heartbeats = [SILENCE, SILENCE]
    order.watch.later_epoch()
    for _ in range(2):
        await order.follower.beat()
    assert not order.watch.is_up
    assert not order.watch.is_gone_for_all


async def test_no_copy_answers_without_the_primary_once_the_bus_brings_later_changes(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    order.heartbeats = [SILENCE, SILENCE]
    for _ in range(2):
        await order.follower.beat()
    order.watch.went_on()  # it may have been committed before
    assert order.watch.is_gone_for_all
    monkeypatch.setattr(primary_watch, "STRAGGLER_SECONDS", -1.0)
    order.watch.went_on()
    assert not order.watch.is_gone_for_all


async def test_a_change_behind_a_gap_is_known_though_the_ring_has_not_reached_it(order: Order) -> None:
    order.come(1, 3)
    assert (order.intake.ring.position, order.follower.newest) == (1, 3)


async def test_a_replica_that_goes_on_says_that_the_primary_answers_others(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primary_watch, "STRAGGLER_SECONDS", -1.0)
    order.come(1, 2, 3)
    seen = []
    # It may lag behind, and may have got what the primary sent last and told no one; then it goes on.
    for order.replicated in (0, 0, 1, 2, 4, 4, 5):
        order.heartbeats = [SILENCE]
        await order.follower.beat()
        seen.append(order.watch.is_gone_for_all)
    assert seen == [False, True, True, True, True, True, False]
    assert order.seen == ["gone", "alone"]


async def test_the_primary_is_gone_here_alone_if_it_answers_others_later(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    order.heartbeats = [SILENCE, SILENCE, SILENCE, SILENCE, SILENCE, Heartbeat(0, STORE)]
    seen = []
    while order.heartbeats:
        monkeypatch.setattr(primary_watch, "STRAGGLER_SECONDS", -1.0 if len(order.heartbeats) < 3 else 60.0)
        order.watch.went_on()  # says nothing before it is gone, nor if the bus was late to bring it
        await order.follower.beat()
        seen.append(order.watch.is_alone)
    assert seen == [False, False, False, False, True, False]
    assert order.seen == ["gone", "alone", "back"]

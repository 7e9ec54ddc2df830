"""A primary that does not answer: it is gone for all, or for this process alone."""

import pytest

from relay.services import follow
from relay.storage.primary import Heartbeat
from tests.unit.services.test_follow import SILENCE, STORE, Order, order

__all__ = ["order"]


async def test_the_primary_is_gone_after_two_heartbeats_in_a_row_without_an_answer(order: Order) -> None:
    answer = Heartbeat(0, STORE)
    order.heartbeats = [SILENCE, answer, SILENCE, SILENCE, SILENCE, answer, answer]
    seen = []
    while order.heartbeats:
        await order.follower.beat()
        seen.append(order.follower.database_up)
    assert seen == [True, True, True, False, False, True, True]
    assert order.seen == ["gone", "back"]


async def test_nothing_says_that_the_primary_answers_others_until_the_bus_names_a_later_epoch(order: Order) -> None:
    order.heartbeats = [SILENCE, SILENCE, Heartbeat(0, STORE)]
    for _ in range(2):
        await order.follower.beat()
    assert order.follower.is_gone_for_all
    order.follower.later_epoch()
    assert not order.follower.is_gone_for_all
    assert not order.follower.is_alone  # clients stay until another heartbeat is not answered
    await order.follower.beat()
    assert order.follower.database_up
    assert not order.follower.is_gone_for_all


async def test_a_later_epoch_that_was_named_before_the_primary_was_found_gone_is_not_forgotten(order: Order) -> None:
    order.heartbeats = [SILENCE, SILENCE]
    order.follower.later_epoch()
    for _ in range(2):
        await order.follower.beat()
    assert not order.follower.database_up
    assert not order.follower.is_gone_for_all


async def test_no_copy_answers_without_the_primary_once_the_bus_brings_later_changes(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    order.heartbeats = [SILENCE, SILENCE]
    for _ in range(2):
        await order.follower.beat()
    order.follower.answers_others()  # it may have been committed before
    assert order.follower.is_gone_for_all
    monkeypatch.setattr(follow, "STRAGGLER_SECONDS", -1.0)
    order.follower.answers_others()
    assert not order.follower.is_gone_for_all


async def test_what_copies_lack_behind_a_gap_is_known_while_the_primary_is_gone_for_all(order: Order) -> None:
    order.heartbeats = [SILENCE, SILENCE]
    order.come(1, 3)  # others committed and announced 3; what became of 2 only the log can tell
    assert order.follower.known_for_all is None
    for _ in range(2):
        await order.follower.beat()
    assert order.intake.ring.position == 1
    assert order.follower.known_for_all == 3
    order.follower.later_epoch()
    assert order.follower.known_for_all is None


async def test_the_primary_is_gone_here_alone_if_it_answers_others_later(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    order.heartbeats = [SILENCE, SILENCE, SILENCE, SILENCE, SILENCE, Heartbeat(0, STORE)]
    seen = []
    while order.heartbeats:
        monkeypatch.setattr(follow, "STRAGGLER_SECONDS", -1.0 if len(order.heartbeats) < 3 else 60.0)
        order.follower.answers_others()  # says nothing before it is gone, nor if the bus was late to bring it
        await order.follower.beat()
        seen.append(order.follower.is_alone)
    assert seen == [False, False, False, False, True, False]
    assert order.seen == ["gone", "alone", "back"]

"""What may happen to the subscriptions of a connection."""

import pytest

from relay.protocol.errors import RateLimited
from relay.protocol.subscriptions import Subscriptions


@pytest.fixture
def full() -> Subscriptions[list[int]]:
    subscriptions: Subscriptions[list[int]] = Subscriptions(2)
    subscriptions.open("a", [1])
    subscriptions.open("b", [2])
    return subscriptions


def test_01_s07_one_above_the_cap_is_refused(full: Subscriptions[list[int]]) -> None:
    with pytest.raises(RateLimited) as refused:
        full.open("c", [3])
    assert refused.value.text == "rate-limited: too many subscriptions"


def test_01_s07_after_a_refusal_the_others_stay(full: Subscriptions[list[int]]) -> None:
    with pytest.raises(RateLimited):
        full.open("c", [3])
    assert full.clear() == [[1], [2]]


def test_01_s07_an_open_id_is_replaced_at_the_cap(full: Subscriptions[list[int]]) -> None:
    assert full.open("b", [3]) == [2]
    assert full.clear() == [[1], [3]]


def test_01_s05_closing_makes_room(full: Subscriptions[list[int]]) -> None:
    assert full.close("a") == [1]
    assert full.open("c", [3]) is None


def test_01_s05_closing_an_unknown_id_is_silent(full: Subscriptions[list[int]]) -> None:
    assert full.close("x") is None
    assert list(full) == ["a", "b"]


def test_01_s04_a_replaced_subscription_is_no_longer_held(full: Subscriptions[list[int]]) -> None:
    old = full.open("a", [1])  # an equal one is not the same one
    assert old is not None
    assert not full.holds("a", old)


def test_an_open_subscription_is_held(full: Subscriptions[list[int]]) -> None:
    new = [1]
    full.open("a", new)
    assert full.holds("a", new)


def test_01_s05_a_closed_subscription_is_no_longer_held(full: Subscriptions[list[int]]) -> None:
    old = full.close("a")
    assert old is not None
    assert not full.holds("a", old)


def test_clearing_ends_all(full: Subscriptions[list[int]]) -> None:
    assert full.clear() == [[1], [2]]
    assert list(full) == []


def test_subscriptions_may_end_while_they_are_walked(full: Subscriptions[list[int]]) -> None:
    for name in full:
        full.close(name)
    assert list(full) == []

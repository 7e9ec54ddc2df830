"""The estimated cost of a query: what is quick, what is expensive, and of what it is certain."""

from typing import Any

import pytest
from hypothesis import given

from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.storage.query_cost import MOST_MS, Cost, query_cost
from tests.strategies import filters

LIMITS = Limits()


def key(number: int) -> str:
    return f"{number:064x}"


def keys(count: int) -> list[str]:
    return [key(number) for number in range(count)]


def cost(*wanted: dict[str, Any]) -> Cost:
    return query_cost([parse_filter(each, LIMITS) for each in wanted])


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"limit": 20},
        {"ids": [key(1)]},
        {"ids": keys(500)},
        {"authors": [key(1)], "kinds": [0]},
        {"authors": [key(1)], "kinds": [0, 3, 10_002]},
        {"kinds": [1], "limit": 100},
        {"authors": keys(10), "kinds": [1, 6]},
        {"#e": [key(1)]},
        {"#t": ["nostr"]},
    ],
)
def test_what_the_indexes_answer_alone_is_quick_and_certain(wanted: dict[str, Any]) -> None:
    assert cost(wanted).is_quick
    assert cost(wanted).is_certain


@pytest.mark.parametrize(
    "wanted",
    [
        {"authors": keys(300), "kinds": [1, 6, 30_023]},
        {"kinds": [1], "#e": keys(50)},
        {"kinds": [1, 6, 7, 9_735], "#p": [key(1)], "since": 1},
        {"authors": [key(1)], "kinds": [30_023], "#d": ["article"]},
        {"kinds": [1], "#t": ["nostr", "bitcoin"]},
        {"authors": [key(1)], "kinds": [0, 3, 4]},
    ],
)
def test_what_applications_ask_all_day_is_quick_though_not_certain(wanted: dict[str, Any]) -> None:
    assert cost(wanted).is_quick
    assert not cost(wanted).is_certain


@pytest.mark.parametrize(
    "wanted",
    [
        {"#t": ["common"], "#x": ["none"]},
        {"authors": keys(100), "#p": [key(1)]},
        {"kinds": list(range(100))},
        {"kinds": [4, 1]},
        {"ids": keys(7_000)},
        {"#e": keys(5_000)},
        {"authors": keys(5_000), "kinds": [1]},
    ],
)
def test_what_may_look_through_everything_is_expensive(wanted: dict[str, Any]) -> None:
    assert not cost(wanted).is_quick


@pytest.mark.parametrize(
    "wanted, is_small",
    [
        ({"ids": [key(1)]}, True),
        ({"authors": [key(1)], "kinds": [1], "limit": 20}, True),
        ({"authors": [key(1)], "limit": 20}, False),
        ({"limit": 20}, False),
        ({"#e": [key(1)], "limit": 20}, False),
    ],
)
def test_a_walk_along_events_that_may_not_be_public_is_not_small(wanted: dict[str, Any], is_small: bool) -> None:
    assert cost(wanted).is_certain
    assert cost(wanted).is_small == is_small
    assert cost({"ids": [key(1)]}, wanted).is_small == is_small


def test_twenty_filters_cost_what_each_of_them_does() -> None:
    one = cost({"kinds": [1], "#p": [key(1)], "until": 1})
    twenty = cost(*[{"kinds": [1], "#p": [key(1)], "until": number} for number in range(20)])
    assert one.is_quick
    assert not twenty.is_quick


@given(filters())
def test_any_filter_has_a_cost_within_the_bounds(wanted: Any) -> None:
    assert 0 < query_cost([parse_filter(wanted, LIMITS)] * 3).ms <= MOST_MS

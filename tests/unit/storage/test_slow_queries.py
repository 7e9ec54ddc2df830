"""Slow queries are noted by their shape: no values, a bounded table, sums that are independent of order."""

import logging
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.storage import slow_queries
from relay.storage.slow_queries import MOST_SHOWN, SlowQueries, SlowShape, fields_of, merged, shape_of
from tests import strategies

AUTHORS = [f"{number:064x}" for number in range(300)]


def filters(*wanted: dict[str, Any]) -> list[Filter]:
    return [parse_filter(each, Limits()) for each in wanted]


@pytest.mark.parametrize(
    ("wanted", "shape"),
    [
        ([{}], "limit:1000"),
        ([{"ids": AUTHORS[:1], "limit": 1}], "ids:1 limit:1"),
        ([{"authors": AUTHORS, "kinds": [1], "limit": 100}], "authors:1000 kinds:1 limit:100"),
        ([{"kinds": list(range(10)), "limit": 101}], "kinds:10 limit:1000"),
        ([{"kinds": list(range(11)), "since": 5, "until": 6, "limit": 0}], "kinds:100 since until limit:0"),
        ([{"#t": ["a"], "#e": AUTHORS[:2], "limit": 9}], "#e:10 #t:1 limit:10"),
        ([{"kinds": [1], "limit": 3}, {"kinds": [7], "limit": 5}], "2 * (kinds:1 limit:10)"),
    ],
)
def test_a_shape_names_fields_and_powers_of_ten(wanted: list[dict[str, Any]], shape: str) -> None:
    assert shape_of(filters(*wanted)) == shape


@given(wanted=strategies.filter_lists(max_size=20))
def test_no_value_of_a_client_is_in_a_shape_and_it_is_short(wanted: list[dict[str, Any]]) -> None:
    shape = shape_of(filters(*wanted))

    assert len(shape) < 1_000
    assert not any(value in shape for each in wanted for value in each.get("authors", []) + each.get("ids", []))
    assert "nostr" not in shape


@given(wanted=strategies.filter_lists(max_size=5))
def test_the_order_of_filters_makes_no_other_shape(wanted: list[dict[str, Any]]) -> None:
    assert shape_of(filters(*wanted)) == shape_of(filters(*reversed(wanted)))


@given(wanted=strategies.filter_lists(max_size=20))
def test_labels_of_metrics_are_one_of_sixteen(wanted: list[dict[str, Any]]) -> None:
    assert {"ids", "authors", "kinds", "tags", "none"}.issuperset(fields_of(filters(*wanted)).split("+"))


def test_what_is_quick_is_not_noted() -> None:
    table = SlowQueries(0.1)

    table.ran(filters({"kinds": [1]}), 100.0)

    assert table.shown() == []
    assert table.counts == {}


def test_statements_of_the_relay_itself_are_not_noted() -> None:
    table = SlowQueries(0.1)

    table.ran((), 5_000.0)

    assert len(table) == 0


def test_slow_statements_are_counted_by_duration() -> None:
    table = SlowQueries(0.1, lambda: 7.0)
    for ms in (150.0, 150.0, 9_000.0):
        table.ran(filters({"kinds": [1], "limit": 1}), ms)

    (shape,) = table.shown()

    assert (shape.shape, shape.slow, shape.longest_ms, shape.seen_at) == ("kinds:1 limit:1", 3, 9_000.0, 7.0)
    assert [number for number in shape.counts if number] == [2, 1]
    assert table.counts == {"kinds": 3}
    assert table.milliseconds == {"kinds": 9_300}


def test_what_stopped_at_a_bound_is_noted_though_it_was_quick() -> None:
    table = SlowQueries(0.1)

    table.stopped(filters({"kinds": [1], "#t": ["x"], "limit": 1}))

    assert [(shape.shape, shape.slow, shape.stopped) for shape in table.shown()] == [("kinds:1 #t:1 limit:1", 0, 1)]


def test_the_table_forgets_what_was_seen_the_longest_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_queries, "MOST_SHAPES", 3)
    table = SlowQueries(0.1)
    for letter in "abc":
        table.ran(filters({f"#{letter}": ["x"]}), 200.0)
    table.ran(filters({"#a": ["y"]}), 200.0)

    table.ran(filters({"#d": ["x"]}), 200.0)

    assert sorted(shape.shape[1] for shape in table.shown()) == ["a", "c", "d"]


def test_a_shape_is_logged_once_a_second_and_without_values(caplog: pytest.LogCaptureFixture) -> None:
    moments = count()
    table = SlowQueries(0.1, lambda: next(moments) / 4)
    with caplog.at_level(logging.WARNING, "relay.storage"):
        for _ in range(8):
            table.ran(filters({"authors": AUTHORS[:1], "limit": 1}), 250.0)

    assert [record.getMessage() for record in caplog.records] == [
        "a slow query ran for 250 ms in PostgreSQL: authors:1 limit:1"
    ] * 2


shapes = st.builds(
    SlowShape,
    shape=st.sampled_from("abcdefghijklmnopqrstuvwxyz"),
    stopped=st.integers(0, 9),
    counts=st.lists(st.integers(0, 9), min_size=2, max_size=2),
    total_ms=st.integers(0, 99).map(float),
    longest_ms=st.integers(0, 99).map(float),
    seen_at=st.integers(0, 99).map(float),
)


@given(parts=st.lists(shapes, max_size=30))
def test_the_sum_of_workers_is_independent_of_their_order(parts: list[SlowShape]) -> None:
    found = merged(parts)

    assert found == merged(reversed(parts))
    assert len(found) <= MOST_SHOWN
    assert sum(one.slow for one in found) <= sum(one.slow for one in parts)

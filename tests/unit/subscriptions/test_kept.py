"""The memory of filters: bounded, shared, and given back in full."""

from sys import getsizeof
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.protocol.errors import RateLimited
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.subscriptions.kept import SHARED_VALUES, Kept
from tests import strategies

PLENTY = 1 << 40
FEED = [f"{number:064x}" for number in range(7_700)]


def parse(*filters: dict[str, Any]) -> tuple[Filter, ...]:
    return tuple(parse_filter(wanted, Limits()) for wanted in filters)


def wide(first: int, **more: Any) -> tuple[Filter, ...]:
    return parse({"#t": [str(number) for number in range(first, first + SHARED_VALUES)], **more})


def test_300_subscriptions_of_one_home_feed_stay_below_the_default_bound() -> None:
    process = Kept(1_073_741_824)
    connection = Kept(67_108_864, process)
    for number in range(300):
        connection.take(parse({"kinds": [1, 6], "authors": FEED, "since": number}))

    assert connection.bytes == process.bytes < 4_000_000


def test_a_req_of_as_many_values_as_are_allowed_stays_below_the_default_bound() -> None:
    connection = Kept(67_108_864, Kept(1_073_741_824))
    connection.take(parse({"#t": [f"{number:x}" for number in range(Limits().max_filter_values)]}))

    assert connection.bytes < 8_000_000


def test_equal_large_sets_are_one_object() -> None:
    process = Kept(PLENTY)
    (first, _), (second, _) = Kept(PLENTY, process).take(wide(0)), Kept(PLENTY, process).take(wide(0, kinds=[1]))

    assert first[0].tags[0][1] is second[0].tags[0][1]
    assert second == wide(0, kinds=[1])


def test_a_large_set_counts_for_each_connection_and_once_for_the_process() -> None:
    process = Kept(PLENTY)
    connections = [Kept(PLENTY, process) for _ in range(3)]
    sizes = []
    for connection in connections:
        connection.take(wide(0))
        sizes.append(process.bytes)

    assert connections[0].bytes == connections[1].bytes == connections[2].bytes == sizes[0]
    assert sizes[2] < 2 * sizes[0]


@pytest.mark.parametrize("level", ["connection", "process"])
@pytest.mark.parametrize("filters", [parse({"kinds": [1]}), wide(1_000)], ids=["small", "large"])
def test_what_is_too_much_is_refused_and_nothing_changes(level: str, filters: tuple[Filter, ...]) -> None:
    process = Kept(PLENTY)
    connection = Kept(PLENTY, process)
    connection.take(wide(0))
    full = connection if level == "connection" else process
    full.max_bytes = full.bytes + 100
    before = connection.bytes, process.bytes

    with pytest.raises(RateLimited):
        connection.take(filters)

    assert (connection.bytes, process.bytes) == before


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), strategies.filter_lists([])), max_size=12), st.data())
def test_what_was_taken_is_given_back_in_full(taken: list[Any], data: st.DataObject) -> None:
    process = Kept(PLENTY)
    connections = [Kept(PLENTY, process) for _ in range(2)]
    kept = [(connections[n], connections[n].take((*parse(*small), *wide(large)))) for n, large, small in taken]
    for place in data.draw(st.permutations(range(len(kept)))):
        connection, (filters, small) = kept[place]
        connection.give(filters, small if data.draw(st.booleans()) else -1)

    assert [(each.bytes, each.filters) for each in (process, *connections)] == [(0, 0)] * 3


@pytest.mark.parametrize("letter", ["a", "é", "\U0001f600"])
def test_a_long_value_counts_by_its_length(letter: str) -> None:
    process = Kept(67_108_864)
    connection = Kept(67_108_864, process)
    value = letter + "x" * 1_000_000
    filters = parse({"#t": [value]})
    connection.take(filters)

    assert connection.bytes == process.bytes > getsizeof(value)


def test_a_connection_that_opens_long_values_meets_its_bound() -> None:
    connection = Kept(67_108_864, Kept(1_073_741_824))
    filters = [parse({"#t": [f"{number}\U0001f600" + "x" * 1_000_000]}) for number in range(9)]
    for each in filters[:-1]:
        connection.take(each)

    with pytest.raises(RateLimited):
        connection.take(filters[-1])


def test_the_size_of_a_value_stays_when_python_keeps_its_utf_8_form() -> None:
    connection = Kept(PLENTY)
    filters = parse({"#t": ["é" * 1_000]})
    connection.take(filters)
    before = getsizeof(next(iter(filters[0].tags[0][1])))
    orjson.dumps(sorted(filters[0].tags[0][1]))
    assert getsizeof(next(iter(filters[0].tags[0][1]))) > before, "this test shows nothing any more"
    connection.give(filters)

    assert connection.bytes == 0

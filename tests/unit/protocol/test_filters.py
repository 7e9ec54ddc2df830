"""Parsing filters and matching events."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.protocol.errors import Invalid, Unsupported
from relay.protocol.event import Event, StoredEvent
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from tests import strategies
from tests.events import NOW, unsigned_event
from tests.oracle import naive_match

LIMITS = Limits(max_limit=10, default_limit=5)
HEX = "ab" * 32
NO_TEXTS: list[object] = ["x", None, 1, {}, [1], [None], [HEX, 1], [["x"]]]
NO_KINDS: list[object] = ["1", 1, None, {}, ["1"], [True], [1.0], [None], [[1]]]
NO_INTEGERS: list[object] = ["1", None, 1.0, 1e10, True, [], {}]


def _wrong(*names: str, values: Sequence[object]) -> list[dict[str, object]]:
    return [{name: value} for name in names for value in values]


def stored(**fields: Any) -> StoredEvent:
    return StoredEvent.of(msgspec.convert(unsigned_event(**fields), Event))


def parse(value: object) -> Filter:
    return parse_filter(value, LIMITS)


def test_01_f11_the_empty_filter_matches_everything() -> None:
    assert parse({}).matches(stored())


@given(st.data())
def test_01_f19_matching_agrees_with_the_oracle(data: st.DataObject) -> None:
    event = data.draw(strategies.events())
    wanted = data.draw(strategies.filters([event["id"]]))
    assert parse(wanted).matches(StoredEvent.of(msgspec.convert(event, Event))) is naive_match(wanted, event)


@given(strategies.filters(), strategies.events())
def test_a_filter_that_says_it_matches_nothing_does(wanted: dict[str, Any], event: dict[str, Any]) -> None:
    assert not (parse(wanted).matches_nothing and naive_match(wanted, event))


@pytest.mark.parametrize("name", ["ids", "authors", "#e", "#p"])
@pytest.mark.parametrize("value", [HEX.upper(), HEX[:-1], HEX + "0", "g" * 64, "", "ab", "é" * 32])
def test_01_f02_hex_that_is_not_exact_is_refused(name: str, value: str) -> None:
    with pytest.raises(Invalid, match=name):
        parse({name: [HEX, value]})


def test_01_f02_two_values_of_wrong_length_do_not_make_up_for_each_other() -> None:
    with pytest.raises(Invalid):
        parse({"ids": [HEX[:-1], HEX + "0"]})


def test_01_f03_since_and_until_are_inclusive() -> None:
    assert parse({"since": NOW, "until": NOW}).matches(stored(created_at=NOW))


@pytest.mark.parametrize("seconds", [NOW - 1, NOW + 1])
def test_01_f03_outside_of_since_and_until_nothing_matches(seconds: int) -> None:
    assert not parse({"since": NOW, "until": NOW}).matches(stored(created_at=seconds))


def test_01_f03_since_after_until_matches_nothing() -> None:
    assert parse({"since": 2, "until": 1}).matches_nothing


def test_01_f04_letters_are_case_sensitive() -> None:
    assert not parse({"#T": ["x"]}).matches(stored(tags=[["t", "x"]]))


@pytest.mark.parametrize("name", ["#ee", "#1", "#", "#é", "&t", "search", "t", "", "IDS", "Limit"])
def test_01_f07_unknown_keys_are_unsupported(name: str) -> None:
    with pytest.raises(Unsupported) as refused:
        parse({name: ["x"]})
    assert refused.value.text == "unsupported: filter contains unknown elements"


def test_01_f05_only_the_first_value_of_a_tag_matches() -> None:
    assert not parse({"#t": ["B"]}).matches(stored(tags=[["t", "A", "B"]]))


def test_01_f05_any_tag_of_the_name_may_match() -> None:
    assert parse({"#t": ["b"]}).matches(stored(tags=[["t", "a"], ["t", "b"]]))


def test_01_f05_a_tag_without_a_value_does_not_match_the_empty_value() -> None:
    assert not parse({"#t": [""]}).matches(stored(tags=[["t"]]))


def test_an_empty_value_matches_the_empty_value() -> None:
    assert parse({"#t": [""]}).matches(stored(tags=[["t", ""]]))


def test_01_e07_nul_in_a_tag_value_matches_only_itself() -> None:
    wanted = parse({"#t": ["a\u0000b"]})
    assert (wanted.matches(stored(tags=[["t", "a\u0000b"]])), wanted.matches(stored(tags=[["t", "a"]]))) == (
        True,
        False,
    )


def test_01_f01_all_tag_conditions_must_hold() -> None:
    assert not parse({"#t": ["a"], "#r": ["b"]}).matches(stored(tags=[["t", "a"]]))


@pytest.mark.parametrize("name", ["ids", "authors", "kinds", "#e", "#t"])
def test_01_f08_an_empty_list_matches_nothing(name: str) -> None:
    wanted = parse({name: []})
    assert wanted.matches_nothing
    assert not wanted.matches(stored(tags=[["t", ""], ["e", ""]]))


@pytest.mark.parametrize(
    "value",
    [
        *_wrong("ids", "authors", "#e", "#t", values=NO_TEXTS),
        *_wrong("kinds", values=NO_KINDS),
        *_wrong("since", "until", "limit", values=NO_INTEGERS),
        {"limit": -1},
    ],
    ids=str,
)
def test_01_f09_wrong_types_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        parse(value)


@pytest.mark.parametrize("name", ["since", "until", "limit"])
@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**40])
def test_01_f09_integers_beyond_64_bits_are_refused(name: str, number: int) -> None:
    with pytest.raises(Invalid):
        parse({name: number})


@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
def test_01_f09_integers_of_64_bits_without_a_sign_are_clamped(number: int) -> None:
    assert (parse({"since": number}).since, parse({"until": number}).until) == (2**63 - 1, 2**63 - 1)


def test_01_f09_times_may_be_negative() -> None:
    assert parse({"since": -5}).since == -5


@pytest.mark.parametrize("kind", [-1, 65_536, 2**63, 2**64 - 1])
def test_01_f10_kinds_out_of_range_are_refused(kind: int) -> None:
    with pytest.raises(Invalid):
        parse({"kinds": [1, kind]})


def test_01_f10_the_outermost_kinds_are_accepted() -> None:
    assert parse({"kinds": [0, 65_535]}).kinds == frozenset({0, 65_535})


@pytest.mark.parametrize("value", [None, 1, "x", [], True])
def test_01_s08_a_filter_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(Invalid):
        parse(value)


def test_01_f12_doubles_in_a_list_count_once() -> None:
    assert parse({"#t": ["x", "x"], "kinds": [1, 1]}) == parse({"#t": ["x"], "kinds": [1]})


def test_the_order_of_keys_and_values_does_not_matter() -> None:
    assert parse({"#t": ["x", "y"], "#a": ["z"]}) == parse({"#a": ["z"], "#t": ["y", "x"]})


def test_tags_are_sorted_by_letter_and_hold_letter_and_value() -> None:
    assert parse({"#t": ["x"], "#A": ["y"]}).tags == (("A", frozenset({"Ay"})), ("t", frozenset({"tx"})))


@pytest.mark.parametrize(
    "value, limit, capped",
    [
        pytest.param({}, 5, True, id="none: the default, the relay's own cap"),
        pytest.param({"limit": 0}, 0, False, id="01-F16"),
        pytest.param({"limit": 5}, 5, False, id="the client's own"),
        pytest.param({"limit": 10}, 10, False, id="the largest"),
        pytest.param({"limit": 11}, 10, False, id="one above"),
        pytest.param({"limit": 2**64 - 1}, 10, False, id="far above"),
    ],
)
def test_01_f17_the_limit_is_clamped_silently(value: dict[str, Any], limit: int, capped: bool) -> None:
    parsed = parse(value)
    assert (parsed.limit, parsed.capped) == (limit, capped)


def test_01_f17_the_default_limit_never_exceeds_the_largest() -> None:
    assert parse_filter({}, replace(LIMITS, default_limit=50)).limit == 10


def test_01_f16_limit_0_still_matches_live_events() -> None:
    wanted = parse({"limit": 0})
    assert wanted.matches(stored())
    assert not wanted.matches_nothing

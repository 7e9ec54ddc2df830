"""The oracle itself, on cases small enough to check by eye."""

from typing import Any

from tests.events import NOW, unsigned_event
from tests.oracle import naive_query


def answer(
    events: list[dict[str, Any]], *filters: dict[str, Any], max_limit: int = 4, default_limit: int = 2
) -> list[str]:
    return [found["content"] for found in naive_query(events, filters, NOW, max_limit, default_limit)]


def note(content: str, age: int = 0, **fields: Any) -> dict[str, Any]:
    return unsigned_event(content=content, created_at=NOW - age, **fields)


def test_01_f13_the_newest_come_first() -> None:
    assert answer([note("old", 2), note("new", 0), note("mid", 1)], {"limit": 2}) == ["new", "mid"]


def test_01_f13_ties_come_by_lowest_id() -> None:
    events = [note(text) for text in "abcd"]
    assert answer(events, {}, max_limit=9, default_limit=9) == [
        event["content"] for event in sorted(events, key=lambda event: str(event["id"]))
    ]


def test_01_f14_a_union_has_each_event_once() -> None:
    events = [note("a", 1, kind=1), note("b", 0, kind=7)]
    assert answer(events, {"kinds": [1]}, {"kinds": [1, 7]}) == ["b", "a"]


def test_01_f18_the_clients_limit_cuts_a_second_in_two() -> None:
    assert len(answer([note(text) for text in "abc"], {"limit": 2})) == 2


def test_01_f18_the_relays_cap_sends_the_whole_second() -> None:
    events = [note("new", 0), *(note(text, 1) for text in "abc"), note("old", 2)]
    assert sorted(answer(events, {})) == ["a", "b", "c", "new"]


def test_01_f18_the_second_is_cut_at_twice_the_cap() -> None:
    assert len(answer([note(text) for text in "abcdefgh"], {})) == 4


def test_01_f17_no_answer_is_larger_than_the_largest() -> None:
    events = [note(text) for text in "abcdefgh"]
    assert [len(answer(events, wanted, max_limit=3)) for wanted in ({}, {"limit": 9})] == [2, 3]


def test_01_f16_limit_0_gives_nothing() -> None:
    assert answer([note("a")], {"limit": 0}) == []


def test_40_2_the_expired_do_not_count_against_the_limit() -> None:
    assert answer([note("gone", 0, tags=[["expiration", str(NOW)]]), note("a", 1)], {"limit": 1}) == ["a"]

"""The inverted index: never too few candidates, and nothing left behind."""

import time
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.subscriptions.index import CANDIDATES, CROWDED, FilterIndex
from tests import strategies
from tests.collisions import colliding_kinds
from tests.events import unsigned_event
from tests.oracle import naive_match
from tests.unit.changes.orders import POOL, note, stored

LIMITS = Limits(max_limit=10, default_limit=5)
IDS = [event["id"] for event in POOL[:4]]

Json = dict[str, Any]


def parse(*filters: Json) -> list[Filter]:
    return [parse_filter(wanted, LIMITS) for wanted in filters]


def index(owners: Sequence[Sequence[Json]]) -> FilterIndex[int]:
    made: FilterIndex[int] = FilterIndex()
    for number, filters in enumerate(owners):
        made.add(number, parse(*filters))
    settle(made)
    return made


def settle(made: FilterIndex[int]) -> None:
    while made.is_entering:
        made.enter_some()
    while made.is_removing:
        made.remove_some()


def candidates(made: FilterIndex[int], event: Json) -> list[int]:
    return [owner for owners in made.candidates(stored(event)) for owner in owners]


def owners() -> st.SearchStrategy[list[list[Json]]]:
    return st.lists(strategies.filter_lists(IDS), min_size=1, max_size=6)


@settings(deadline=None)
@given(owners(), st.lists(st.sampled_from(POOL) | strategies.events(), min_size=1, max_size=5))
def test_a_matching_owner_is_a_candidate_once(wanted: list[list[Json]], events: list[Json]) -> None:
    made = index(wanted)
    for event in events:
        found = candidates(made, event)
        matching = {n for n, filters in enumerate(wanted) if any(naive_match(flt, event) for flt in filters)}
        assert matching <= set(found)
        assert len(found) == len(set(found))


@settings(deadline=None)
@given(owners(), st.data())
def test_a_removed_owner_is_no_candidate_and_leaves_no_keys(wanted: list[list[Json]], data: st.DataObject) -> None:
    made = index(wanted)
    remaining = set(range(len(wanted)))
    for number in data.draw(st.permutations(range(len(wanted)))):
        made.remove(number)
        settle(made)
        remaining.discard(number)
        assert all(set(candidates(made, event)) <= remaining for event in POOL[:10])
    assert len(made) == 0


def test_a_filter_that_matches_nothing_has_no_key() -> None:
    assert len(index([[{"ids": []}, {"since": 2, "until": 1}, {"#t": [], "kinds": [1]}]])) == 0


def test_a_filter_is_indexed_only_under_its_most_selective_field() -> None:
    crowd = {"kinds": [1], "authors": strategies.PUBKEYS, "#t": ["a", "b"], "#p": strategies.PUBKEYS[:1]}
    assert len(index([[crowd]])) == 1


def test_one_owner_may_have_a_key_twice() -> None:
    made = index([[{"kinds": [1]}, {"kinds": [1, 2]}]])
    found = [owner for owners in made.candidates(note(1)) for owner in owners]
    made.remove(0)
    assert (found, len(made)) == ([0], 0)


def test_an_event_that_shares_no_value_meets_no_filter() -> None:
    made = index([[{"kinds": [7]}], [{"authors": ["0" * 64]}], [{"#t": ["x"]}], [{"ids": ["0" * 64]}]])
    assert [owner for owners in made.candidates(note(1)) for owner in owners] == []


def test_candidates_may_leave_while_they_are_visited() -> None:
    """A client that is cut off during a delivery takes its subscriptions out of the index at that moment."""
    made = index([[{"kinds": [1]}] for _ in range(3)])
    visited = []
    for owners in made.candidates(note(1)):
        for number in owners:
            visited.append(number)
            made.remove(number)
    assert visited == [0, 1, 2]


@st.composite
def timed(draw: st.DrawFn) -> Json:
    """A filter with values that others have too; its times are seconds from now."""
    moments = st.sampled_from([-100, -10, 0, 10, 2**40]) | st.integers(-5, 5)
    shape: Json = draw(
        st.sampled_from([{"kinds": [1]}, {"kinds": [1, 7]}, {}, {"authors": strategies.PUBKEYS[:1]}, {"#t": ["a"]}])
    )
    return shape | draw(st.fixed_dictionaries({}, optional={"since": moments, "until": moments}))


@settings(deadline=None)
@given(
    st.lists(st.lists(timed(), min_size=1, max_size=3), min_size=1, max_size=12),
    st.sets(st.integers(0, 11)),
    st.integers(-15, 15),
)
def test_filters_sorted_by_time_are_never_missed(wanted: list[list[Json]], gone: set[int], offset: int) -> None:
    now = int(time.time())
    wanted = [
        [flt | {end: now + flt[end] for end in ("since", "until") if end in flt} for flt in each] for each in wanted
    ]
    made = index(wanted)
    for number in gone & set(range(len(wanted))):
        made.remove(number)
    for kind, tags in ((1, [["t", "a"]]), (7, [])):
        event = note(1, kind=kind, created_at=now + offset, tags=tags)
        found = [owner for owners in made.candidates(event) for owner in owners]
        matching = {
            n
            for n, filters in enumerate(wanted)
            if n not in gone and any(flt.matches(event) for flt in parse(*filters))
        }
        assert matching <= set(found)
        assert len(found) == len(set(found))


def test_filters_of_another_time_are_no_candidates() -> None:
    now = int(time.time())
    made = index([[{"kinds": [1], "since": now + 100 + n}, {"kinds": [1], "until": now - 100 - n}] for n in range(9)])
    assert list(made.candidates(note(1, created_at=now))) == []


def test_a_filter_avoids_a_value_under_which_many_stand() -> None:
    popular = strategies.PUBKEYS[0]
    made = index([[{"authors": [popular], "#p": [strategies.PUBKEYS[1]], "kinds": [n]}] for n in range(9)])
    crowd = index([[{"#t": ["a"], "authors": [f"{n:064x}"]}] for n in range(1_000)])
    event = note(1, tags=[["t", "a"]])
    assert len(made) == 1
    assert sum(map(len, crowd.candidates(event))) <= 2 * CROWDED


def test_sets_of_kinds_that_clients_make_with_one_hash_are_found_apart() -> None:
    kinds = colliding_kinds()
    assert (len(set(kinds)), len(set(map(hash, kinds)))) == (32, 1)
    made = index([[{"kinds": sorted(each)}] for each in kinds])

    assert len(set(map(hash, made._postings))) == len(kinds)
    assert len({hash(flt.conditions) for each in kinds for flt in parse({"kinds": sorted(each)})}) == len(kinds)
    for number in range(len(kinds)):
        made.remove(number)
    settle(made)
    assert (len(made), made._postings) == (0, {})


def test_many_sets_of_one_filter_under_a_value_are_named_in_pieces() -> None:
    made = index([[{"#t": ["a", f"other {number}"]}] for number in range(3 * CANDIDATES)])
    pieces = list(made.candidates(stored(unsigned_event(tags=[["t", "a"]]))))

    assert [owner for owners in pieces for owner in owners] == list(range(3 * CANDIDATES))
    assert max(map(len, pieces)) <= CANDIDATES + 1


def test_an_event_that_shares_many_values_with_many_sets_is_looked_up_in_pieces() -> None:
    values = [f"v{number}" for number in range(400)]
    made = index([[{"#t": [*values, f"other {number}"]}] for number in range(100)])
    event = stored(unsigned_event(tags=[["t", value] for value in values]))
    pieces = list(made.candidates(event))

    assert sorted(owner for owners in pieces for owner in owners) == list(range(100))
    assert len(pieces) >= 400 * 100 // (CANDIDATES + 100)

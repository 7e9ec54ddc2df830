"""A result at S, overlaid with what came after, is the oracle's result at P, or says what it does not know."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.changes.change import Added, Change, Removed, Vanished
from relay.changes.overlay import Found, Overlaid, Page, cut, newest_first, overlay
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from tests import strategies
from tests.events import NOW, unsigned_event
from tests.oracle import naive_match, naive_query, naive_visible
from tests.unit.changes.orders import History, Json, histories, note, stored

MAX_LIMIT = 4
DEFAULT_LIMIT = 2
LIMITS = Limits(max_limit=MAX_LIMIT, default_limit=DEFAULT_LIMIT)


def parse(wanted: Json) -> Filter:
    return parse_filter(wanted, LIMITS)


def asked(events: Sequence[Json], wanted: Json, now: int) -> Sequence[Mapping[str, Any]]:
    return naive_query(events, [wanted], now, MAX_LIMIT, DEFAULT_LIMIT)


def page(events: Sequence[Json], wanted: Json, now: int = NOW) -> Page:
    """The oracle's answer, as a copy would hold it."""
    rows = asked(events, wanted, now)
    matching = [event for event in events if naive_visible(event, now) and naive_match(wanted, event)]
    return Page([stored(dict(row)) for row in rows], len(rows) == len(matching))


def ids(rows: Sequence[Found | Mapping[str, Any]]) -> list[str]:
    return [row["id"] if isinstance(row, Mapping) else row.id for row in rows]


def filters(history: History) -> st.SearchStrategy[Json]:
    """Filters that leave something: most of them broad, all of them with a limit to meet."""
    broad = st.fixed_dictionaries(
        {},
        optional={
            "limit": st.integers(0, MAX_LIMIT + 1),
            "kinds": st.just([1]),
            "#t": st.sampled_from([["a"], ["a", "b"]]),
            "authors": st.just(strategies.PUBKEYS[:2]),
        },
    )
    return st.one_of(broad, broad, broad, strategies.filters(sorted(history.pool), max_limit=MAX_LIMIT))


def at(second: int, number: int) -> Json:
    return unsigned_event(created_at=NOW - second, content=str(number))


def sorted_at(second: int, count: int) -> list[Json]:
    return sorted((at(second, number) for number in range(count)), key=lambda event: str(event["id"]))


def added(*events: Json) -> list[Change]:
    return [Added(seq, stored(event)) for seq, event in enumerate(events, 1)]


def removed(*events: Json) -> list[Change]:
    return [Removed(seq, event["id"]) for seq, event in enumerate(events, 1)]


def assert_truthful(outcome: Overlaid, events: Sequence[Json], wanted: Json, now: int) -> None:
    if outcome.short:
        return
    assert ids(outcome.rows) == ids(asked(events, wanted, now))
    if outcome.complete:
        matching = [event for event in events if naive_visible(event, now) and naive_match(wanted, event)]
        assert len(outcome.rows) == len(matching)


@settings(max_examples=250, deadline=None)
@given(histories(max_changes=40), st.data())
def test_the_overlaid_result_is_the_oracles_or_short(history: History, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(history.changes)), "S")
    wanted = data.draw(filters(history), "filter")
    now, later = sorted(data.draw(st.tuples(*[st.integers(NOW - 1, NOW + 1)] * 2), "now"))
    before = page(history.state(start), wanted, now)
    outcome = overlay(before, parse(wanted), history.changes[start:], later)
    assert_truthful(outcome, history.state(len(history.changes)), wanted, later)
    assert not (before.complete and outcome.short), "a complete page is never short"


@settings(max_examples=200, deadline=None)
@given(histories(max_events=20, max_changes=50), st.data())
def test_the_default_filter_with_many_ties_is_the_oracles_or_short(history: History, data: st.DataObject) -> None:
    """The relay's own cap is what most queries meet (01-F18)."""
    start = data.draw(st.integers(0, len(history.changes)), "S")
    outcome = overlay(page(history.state(start), {}), parse({}), history.changes[start:], NOW)
    assert_truthful(outcome, history.state(len(history.changes)), {}, NOW)


@settings(max_examples=200, deadline=None)
@given(histories(max_changes=40), st.data())
def test_an_overlaid_result_can_be_overlaid_again(history: History, data: st.DataObject) -> None:
    start, middle = sorted(data.draw(st.tuples(*[st.integers(0, len(history.changes))] * 2)))
    wanted = data.draw(filters(history))
    outcome = overlay(page(history.state(start), wanted), parse(wanted), history.changes[start:middle], NOW)
    if not outcome.short:
        outcome = overlay(Page(outcome.rows, outcome.complete), parse(wanted), history.changes[middle:], NOW)
        assert_truthful(outcome, history.state(len(history.changes)), wanted, NOW)


def test_a_complete_page_stays_exact_while_it_fits() -> None:
    first, second = at(0, 1), at(1, 2)
    outcome = overlay(page([second], {"limit": 2}), parse({"limit": 2}), added(first), NOW)
    assert (ids(outcome.rows), outcome.complete) == (ids([first, second]), True)


def test_a_page_that_grew_beyond_its_limit_is_no_longer_complete() -> None:
    outcome = overlay(page([at(1, 2), at(2, 3)], {"limit": 2}), parse({"limit": 2}), added(at(0, 1)), NOW)
    assert (len(outcome.rows), outcome.complete, outcome.short) == (2, False, False)


def test_below_the_last_row_of_a_cut_page_additions_mean_nothing() -> None:
    outcome = overlay(page([at(0, 1), at(3, 2)], {"limit": 1}), parse({"limit": 1}), added(at(2, 3)), NOW)
    assert ids(outcome.rows) == ids([at(0, 1)])


def test_a_cut_page_that_lost_a_row_is_short() -> None:
    outcome = overlay(page([at(0, 1), at(1, 2)], {"limit": 1}), parse({"limit": 1}), removed(at(0, 1)), NOW)
    assert outcome.short


def test_a_row_that_expires_leaves_a_cut_page_short() -> None:
    ending = unsigned_event(tags=[["expiration", str(NOW + 1)]])
    outcome = overlay(page([ending, at(1, 2)], {"limit": 1}), parse({"limit": 1}), [], NOW + 1)
    assert (outcome.rows, outcome.short) == ([], True)


def test_a_limit_of_zero_stays_empty_and_is_never_short() -> None:
    outcome = overlay(page([at(0, 1)], {"limit": 0}), parse({"limit": 0}), added(at(0, 2)), NOW)
    assert (list(outcome.rows), outcome.short) == ([], False)


def test_for_one_id_the_last_change_wins() -> None:
    event = stored(at(0, 1))
    changes: list[Change] = [Removed(1, event.id), Added(2, event), Removed(3, event.id), Added(4, event)]
    assert ids(overlay(Page([event], True), parse({}), changes, NOW).rows) == [event.id]


@pytest.mark.parametrize("kind", [4, 1_059, 22_242])
def test_what_is_never_served_does_not_come_in_by_an_overlay(kind: int) -> None:
    assert not overlay(Page([], True), parse({}), [Added(1, note(1, kind=kind))], NOW).rows


def test_01_f18_a_whole_boundary_second_takes_in_what_came_later() -> None:
    """The cap is 2, the boundary second had one event and is known whole: another one belongs to it."""
    low, high = sorted_at(1, 2)
    outcome = overlay(page([at(0, 9), low, at(2, 8)], {}), parse({}), added(high), NOW)
    assert ids(outcome.rows) == ids([at(0, 9), low, high])


def test_01_f18_a_boundary_second_that_was_cut_is_short_when_it_gets_room() -> None:
    tied = sorted_at(1, 6)
    outcome = overlay(page(tied, {}), parse({}), removed(tied[0]), NOW)
    assert outcome.short


def test_01_f18_a_boundary_second_that_was_cut_takes_in_what_sorts_before_its_end() -> None:
    tied = sorted_at(1, 6)
    outcome = overlay(page(tied[1:], {}), parse({}), added(tied[0]), NOW)
    assert (ids(outcome.rows), outcome.short) == (ids(tied[:4]), False)


def test_01_f18_a_boundary_second_that_was_cut_does_not_matter_below_a_newer_one() -> None:
    outcome = overlay(page(sorted_at(1, 6), {}), parse({}), added(at(0, 7), at(0, 8)), NOW)
    assert (len(outcome.rows), outcome.short) == (2, False)


@given(strategies.event_lists(max_size=20), strategies.filters(max_limit=MAX_LIMIT))
@example([at(1, number) for number in range(9)], {})
def test_a_cut_is_the_oracles(events: list[Json], wanted: Json) -> None:
    matching = [event for event in events if naive_visible(event, NOW) and naive_match(wanted, event)]
    rows = sorted(map(stored, matching), key=newest_first)
    assert ids(cut(rows, parse(wanted))) == ids(asked(events, wanted, NOW))


def test_what_a_banned_key_sends_again_after_its_ban_is_lifted_is_in_the_answer() -> None:
    """Unlike after a request to vanish, which nothing of that time follows."""
    event = note(1)
    changes: list[Change] = [Added(1, event), Vanished(2, event.pubkey, event.created_at), Added(3, event)]
    assert ids(overlay(Page([event], True), parse({}), changes, NOW).rows) == [event.id]
    assert ids(overlay(Page([event], True), parse({}), changes[:2], NOW).rows) == []


def test_a_later_request_of_an_earlier_time_does_not_bring_back_what_the_first_one_hid() -> None:
    event = note(1)
    changes: list[Change] = [Vanished(1, event.pubkey, event.created_at), Vanished(2, event.pubkey, 5)]
    assert ids(overlay(Page([event], True), parse({}), changes, NOW).rows) == []

"""A page that is advanced answers as the oracle does at that position, or reports that it cannot be."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.caching.page import MAX_CHANGES, Page
from relay.changes.change import Added, Batch
from relay.changes.ring import Ring
from relay.changes.row import Row
from relay.changes.sizes import LONG_TAGS, MAX_LOOKS
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from tests import strategies
from tests.events import NOW
from tests.oracle import naive_end, naive_match, naive_query, naive_visible
from tests.unit.changes.orders import POOL, History, histories, note, stored

MAX_LIMIT = 3
DEFAULT_LIMIT = 2
LIMITS = Limits(max_limit=MAX_LIMIT, default_limit=DEFAULT_LIMIT)
Json = dict[str, Any]


def parse(wanted: Json) -> Filter:
    return parse_filter(wanted, LIMITS)


def filters(history: History) -> st.SearchStrategy[Json]:
    """Most of them broad, with a limit to meet."""
    broad = st.fixed_dictionaries(
        {},
        optional={
            "limit": st.integers(1, MAX_LIMIT + 1),
            "kinds": st.sampled_from([[1], [1, 7], [30_000]]),
            "#t": st.sampled_from([["a"], ["a", "b"]]),
            "authors": st.sampled_from([strategies.PUBKEYS[:1], strategies.PUBKEYS[:2]]),
            "since": strategies.times(),
        },
    )
    return st.one_of(broad, broad, broad, strategies.filters(sorted(history.pool), max_limit=MAX_LIMIT))


def answer(history: History, position: int, wanted: Json, now: int) -> list[bytes]:
    found = naive_query(history.state(position), [wanted], now, MAX_LIMIT, DEFAULT_LIMIT)
    return [stored(dict(event)).json for event in found]


def page_of(history: History, position: int, wanted: Json, now: int) -> Page:
    """What PostgreSQL would have answered; `complete` is left out at times, which is always allowed."""
    texts = answer(history, position, wanted, now)
    matching = [e for e in history.state(position) if naive_visible(e, now) and naive_match(wanted, e)]
    below = [row for row in (stored(dict(event)) for event in matching) if row.json not in texts]
    lasting = [row.id for row in below if row.expires_at is None]
    return Page(parse(wanted), position, texts, not below, lasting[0] if lasting else None)


def follow(ring: Ring, history: History, position: int) -> None:
    if position > ring.position:
        ring.append(Batch.of(history.changes[ring.position : position]))


@given(st.data())
@settings(max_examples=200)
def test_67_3_a_page_brought_forward_is_the_oracles_answer_and_knows_its_end(data: st.DataObject) -> None:
    history = data.draw(histories())
    end = len(history.changes)
    wanted = data.draw(filters(history))
    ring = Ring(data.draw(st.integers(0, end)), data.draw(st.sampled_from([1, 5_000, 20_000, 10**9])))
    times = sorted(data.draw(st.lists(st.integers(NOW - 2, NOW + 2), min_size=1, max_size=5)))
    page = page_of(history, data.draw(st.integers(0, end)), wanted, times[0])
    for now in times:
        follow(ring, history, data.draw(st.integers(ring.position, end)))
        before = page.position
        if page.advance(ring, now):
            assert page.position == ring.position
            assert list(page.texts) == answer(history, page.position, wanted, now)
            assert [row.json for row in page.rows] == list(page.texts)
            asked = (history.state(page.position), [wanted], now, MAX_LIMIT, DEFAULT_LIMIT)
            assert page.end.value in ((), (naive_end(*asked),))  # 67-3
        else:
            assert page.position == before, "who cannot say leaves the copy as it was"
            return


@given(st.data())
def test_a_page_whose_matches_it_all_holds_is_always_brought_forward(data: st.DataObject) -> None:
    history = data.draw(histories())
    wanted = data.draw(filters(history)) | {"limit": MAX_LIMIT}
    ring = Ring(0, 10**9)
    page = Page(parse(wanted), 0, [], True)
    for position in range(1, len(history.changes) + 1):
        follow(ring, history, position)
        texts = answer(history, position, wanted, NOW)
        matching = [e for e in history.state(position) if naive_visible(e, NOW) and naive_match(wanted, e)]
        if len(matching) > MAX_LIMIT:
            return
        assert page.advance(ring, NOW)
        assert list(page.texts) == texts


@given(st.data())
def test_a_page_knows_when_the_first_of_its_events_expires(data: st.DataObject) -> None:
    texts = [stored(event).json for event in data.draw(st.lists(st.sampled_from(POOL), max_size=5))]
    page = Page(parse({}), 0, texts, True)
    times = [row.expires_at for row in map(Row.of, texts) if row.expires_at is not None]
    assert page.expires_at == min(times, default=None)


def test_a_page_that_the_ring_does_not_reach_cannot_be_brought_forward() -> None:
    ring = Ring(5, 10**9)
    assert not Page(parse({}), 4, [], True).advance(ring, NOW)
    assert not Page(parse({}), 6, [], True).advance(ring, NOW)
    assert Page(parse({}), 5, [], True).advance(ring, NOW)


def test_a_page_is_not_brought_over_more_changes_than_pay() -> None:
    ring = Ring(0, 10**9)
    ring.append(Batch.of([Added(seq, note(seq % 7)) for seq in range(1, MAX_CHANGES + 2)]))
    assert not Page(parse({}), 0, [], True).advance(ring, NOW)
    untouched = Page(parse({"kinds": [7]}), 0, [], True)
    assert untouched.advance(ring, NOW), "nothing that came concerns it"
    assert len(ring) > MAX_CHANGES


def test_a_page_is_not_brought_over_changes_in_whose_tags_too_many_values_are_looked_for() -> None:
    ring, tags = Ring(0, 10**9), [["t", str(number)] for number in range(LONG_TAGS + 1)]
    ring.append(Batch.of([Added(seq, note(seq, tags=tags)) for seq in range(1, 3 + MAX_LOOKS // LONG_TAGS)]))
    values = [f"none {number}" for number in range(LONG_TAGS + 1)]
    assert Page(parse({"#t": values[:9]}), 0, [], True).advance(ring, NOW)
    assert not Page(parse({"#t": values}), 0, [], True).advance(ring, NOW)


def test_a_page_keeps_the_texts_of_what_came_and_not_their_tags() -> None:
    ring, page = Ring(0, 10**9), Page(parse({}), 0, [], True)
    ring.append(Batch.of([Added(1, note(1, tags=[["t", f"{number}"] for number in range(9)]))]))
    assert page.advance(ring, NOW)
    assert [type(row) for row in page.rows] == [Row]


def test_a_page_counts_what_it_holds() -> None:
    texts = [stored(event).json for event in POOL[:9]]
    assert Page(parse({}), 0, texts, True).size_bytes > sum(map(len, texts))


@pytest.mark.parametrize(
    ("wanted", "least"),
    [
        ({"#t": ["\U0001f600" + "x" * 1_000_000]}, 4_000_000),
        ({"#t": [f"{number:x}" for number in range(30_000)]}, 2_500_000),
        ({"authors": [f"{number:064x}" for number in range(30_000)]}, 4_000_000),
        ({"ids": [f"{number:064x}" for number in range(30_000)]}, 4_000_000),
        ({"kinds": list(range(30_000))}, 2_500_000),
    ],
    ids=["a long value", "tags", "authors", "ids", "kinds"],
)
def test_a_page_counts_with_the_values_of_its_filter(wanted: Json, least: int) -> None:
    assert Page(parse(wanted), 1, (), True).size_bytes > least

"""A feed answers exactly the filters that it covers, whatever their since, until, limit and kinds."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.caching.feeds import AUTHOR_ROWS, KIND_ROWS, REPLY_ROWS, feed_of
from relay.caching.page import Page
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from tests import strategies
from tests.events import NOW, unsigned_event
from tests.oracle import naive_match, naive_query
from tests.unit.changes.orders import stored

MAX_LIMIT = 4
DEFAULT_LIMIT = 2
LIMITS = Limits(max_limit=MAX_LIMIT, default_limit=DEFAULT_LIMIT)
Json = dict[str, Any]

THREADS = ["a" * 64, "b" * 64]
EVENTS = [
    unsigned_event(
        pubkey=strategies.PUBKEYS[number % 2],
        kind=[1, 1, 7, 0][number % 4],
        created_at=NOW - number // 4,
        tags=[["e", THREADS[number % 3 % 2]]] if number % 5 else [],
        content=str(number),
    )
    for number in range(28)
]

covers: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"kinds": [1]},
        {"authors": strategies.PUBKEYS[:1]},
        {"authors": strategies.PUBKEYS[:1], "kinds": [1]},
        {"authors": strategies.PUBKEYS[:1], "kinds": [1, 7]},
        {"authors": strategies.PUBKEYS[:1], "kinds": []},
        {"#e": THREADS[:1]},
        {"#e": THREADS[:1], "kinds": [1]},
        {"#e": THREADS[:1], "kinds": [0, 7]},
    ]
)
ends: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "since": st.integers(NOW - 9, NOW + 1),
        "until": st.integers(NOW - 9, NOW + 1),
        "limit": st.integers(0, MAX_LIMIT + 2),
    },
)
wanted_filters = st.tuples(covers, ends).map(lambda parts: {**parts[0], **parts[1]})


def parse(wanted: Json) -> Filter:
    return parse_filter(wanted, LIMITS)


def feed(base: Filter, rows: int) -> Page:
    """The feed of `base` as it is when it holds `rows` rows at most."""
    matching = sorted(
        (event for event in map(stored, EVENTS) if base.matches(event)), key=lambda e: (-e.created_at, e.id)
    )
    return Page(base, 7, [event.json for event in matching[:rows]], len(matching) <= rows)


@given(wanted_filters, st.integers(1, 30))
@settings(max_examples=250)
def test_a_feed_answers_as_the_oracle_or_says_that_it_ends_too_early(wanted: Json, rows: int) -> None:
    flt = parse(wanted)
    base = feed_of(flt)
    assert base is not None
    texts = feed(base, rows).answer(flt)
    expected = [stored(dict(e)).json for e in naive_query(EVENTS, [wanted], NOW, MAX_LIMIT, DEFAULT_LIMIT)]
    assert texts is None or list(texts) == expected
    if rows >= len(EVENTS):
        assert texts is not None, "a feed that holds every match can answer everything"


@given(wanted_filters)
def test_a_feed_that_reaches_below_the_answer_gives_it(wanted: Json) -> None:
    """So many rows as lie at or above the answer's last second, and one below, are enough."""
    flt = parse(wanted)
    base = feed_of(flt)
    assert base is not None
    found = naive_query(EVENTS, [wanted], NOW, MAX_LIMIT, DEFAULT_LIMIT)
    if not found or len(found) < (flt.limit * 2 if flt.capped else flt.limit):
        return
    last = found[-1]["created_at"]
    needed = sum(1 for event in map(stored, EVENTS) if base.matches(event) and event.created_at >= last)
    assert feed(base, needed).answer(flt) is not None


@given(st.one_of(wanted_filters, strategies.filters([EVENTS[0]["id"]])))
@settings(max_examples=250)
def test_what_a_filter_finds_lies_in_the_feed_that_covers_it(wanted: Json) -> None:
    base = feed_of(parse(wanted))
    if base is not None:
        assert all(base.matches(stored(event)) for event in EVENTS if naive_match(wanted, event))
        assert (base.since, base.until, base.capped) == (None, None, False)


@pytest.mark.parametrize(
    "wanted, rows",
    [
        ({"kinds": [1], "limit": 3, "since": NOW}, KIND_ROWS),
        ({"authors": strategies.PUBKEYS[:1], "until": NOW}, AUTHOR_ROWS),
        ({"authors": strategies.PUBKEYS[:1], "kinds": [0, 1]}, AUTHOR_ROWS),
        ({"#e": THREADS[:1], "kinds": [1]}, REPLY_ROWS),
    ],
)
def test_these_have_a_feed(wanted: Json, rows: int) -> None:
    base = feed_of(parse(wanted))
    assert base is not None
    assert base.limit == rows
    assert feed_of(base) == base, "a feed is its own"


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"ids": [EVENTS[0]["id"]]},
        {"ids": [EVENTS[0]["id"]], "kinds": [1]},
        {"kinds": [1, 7]},
        {"kinds": []},
        {"authors": strategies.PUBKEYS[:2]},
        {"#e": THREADS},
        {"#p": THREADS[:1]},
        {"#e": THREADS[:1], "authors": strategies.PUBKEYS[:1]},
        {"#e": THREADS[:1], "#p": THREADS[:1]},
        {"since": NOW},
    ],
)
def test_these_have_none(wanted: Json) -> None:
    assert feed_of(parse(wanted)) is None


def test_filters_that_differ_in_their_ends_alone_share_a_feed() -> None:
    several = [
        {"kinds": [1], **dict(more)} for more in itertools.combinations([("since", 1), ("until", 2), ("limit", 3)], 2)
    ]
    assert len({feed_of(parse(wanted)) for wanted in several}) == 1

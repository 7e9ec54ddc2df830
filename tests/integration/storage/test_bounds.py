"""No filter reads without bound: on a store with common tags and rare combinations, against plans and the oracle."""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.protocol.audience import Audience
from relay.protocol.errors import Failed
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.protocol.visibility import division
from relay.storage.filter_sql import Bounds, attempts, needs_query, query_statement
from relay.storage.reads import Reads
from relay.storage.walk_bounds import FULL_SHARES
from tests.events import NOW, unsigned_event
from tests.integration.storage.bulk import copy_in
from tests.integration.storage.plans import Plans, Read
from tests.integration.storage.scribe import Json, Tables
from tests.oracle import naive_query

pytestmark = pytest.mark.django_db

LIMITS = Limits(max_limit=40, default_limit=20)
BOUNDS = Bounds(walk_rows=256, most_rows=2_048, recent_rows=1, most_walks=4_096)
LOOKS = 2 * 64
"""Entries by which the rarest of two tags is found."""
MOST = Read(rows=5 * 2_048, pages=10 * 2_048)
EVENTS = 12_000
AUTHORS = [f"{number:064x}" for number in range(1, 101)]
PEER = "f" * 64


def _stored() -> list[Json]:
    """Half of all events have the tag t=common, most p=PEER; kind 9 and x=rare are rare; the newest are private."""
    chance = random.Random(5)
    events = []
    for number in range(EVENTS):
        kind = 1_059 if number < 3_000 else 9 if number % 2_000 == 1_999 else chance.choice([1, 1, 1, 7, 30_023, 1_111])
        tags = [["p", PEER]] if chance.random() < 0.8 else []
        tags += [["t", "common"]] if chance.random() < 0.5 else [["t", f"word{number % 50}"]]
        tags += [["x", "rare"]] if number % 3_000 == 2_500 else [["d", str(number)]]
        author = AUTHORS[0] if chance.random() < 0.5 else chance.choice(AUTHORS)
        events.append(unsigned_event(pubkey=author, kind=kind, created_at=NOW - number // 2, tags=tags, content=""))
    return events


STORED = _stored()


@pytest.fixture(scope="module")
def filled(database: Tables) -> Tables:
    database.clear()
    copy_in(database, STORED)
    return database


@pytest.fixture
def tables(filled: Tables) -> Tables:
    """Not emptied between the tests, which only read."""
    return filled


HARD: list[Json] = [
    {},
    {"until": NOW - 10},
    {"kinds": list(range(40_000, 40_040))},
    {"kinds": [9]},
    {"kinds": [9], "#t": ["common"]},
    {"kinds": [9], "#p": [PEER]},
    {"kinds": [9], "#p": [PEER], "until": NOW - 100},
    {"#t": ["common"], "#x": ["none"]},
    {"#t": ["common"], "#x": ["rare"]},
    {"#p": [PEER], "#t": ["common", "word1"], "#x": ["rare", "none"]},
    {"#p": [PEER], "#d": ["none"]},
    {"#t": [f"word{n}" for n in range(50)], "#x": ["none"]},
    {"#t": ["common", *(f"word{n}" for n in range(50))], "kinds": [9]},
    {"authors": AUTHORS[:1], "#t": ["none"]},
    {"authors": AUTHORS[:1], "#x": ["rare"]},
    {"authors": AUTHORS[:20], "#t": ["none"]},
    {"authors": AUTHORS, "#t": ["none"]},
    {"authors": AUTHORS, "#t": ["common"], "kinds": [9]},
    {"authors": AUTHORS[1:]},
    {"authors": AUTHORS, "kinds": [9]},
    {"authors": AUTHORS, "kinds": [1, 7]},
    {"authors": AUTHORS, "kinds": list(range(300))},
    {"authors": AUTHORS[:1], "kinds": list(range(40_000, 40_100))},
    {"authors": ["e" * 64] * 2 + [f"{n:064x}" for n in range(500, 900)]},
    {"authors": AUTHORS[:1]},
    {"authors": AUTHORS[:1], "kinds": [1_111]},
]


async def check(plans: Plans, reads: Reads, wanted: Json) -> str | None:
    """What is wrong with the answer to a filter; None if it is bounded, and the oracle's or refused."""
    flt = parse_filter(wanted, LIMITS)
    for attempt in range(attempts([flt])):
        read = plans.read(query_statement([flt], NOW, bounds=BOUNDS, attempt=attempt))
        if read.rows > MOST.rows or read.pages > MOST.pages:
            return f"{wanted} read {read}"
    try:
        result = await reads.query([flt])
    except Failed as error:
        return None if "narrow it" in error.message else f"{wanted} failed: {error.message}"
    expected = naive_query(STORED, [wanted], NOW, LIMITS.max_limit, LIMITS.default_limit)
    found = [msgspec.json.decode(text)["id"] for text in result.events]  # type: ignore[arg-type]
    return None if found == [event["id"] for event in expected] else f"{wanted} has another answer"


async def test_hard_filters_are_bounded_and_never_answered_wrongly(plans: Plans, reads: Reads) -> None:
    reads.attempts.bounds = BOUNDS
    assert [wrong for wanted in HARD if (wrong := await check(plans, reads, wanted))] == []


def filters() -> st.SearchStrategy[Json]:
    """Filters of common, rare and absent values, also long lists."""
    optional: dict[str, st.SearchStrategy[Any]] = {
        "authors": st.sampled_from([AUTHORS[:1], AUTHORS[1:3], AUTHORS[:20], AUTHORS, [*AUTHORS[5:], "e" * 64]]),
        "kinds": st.sampled_from([[9], [1], [1, 7], [1_059, 9], [*range(100)], [*range(40_000, 40_040)]]),
        "#t": st.sampled_from([["common"], ["none"], ["word1"], ["common", "word2"], [f"word{n}" for n in range(50)]]),
        "#p": st.sampled_from([[PEER], ["e" * 64], [PEER, *AUTHORS]]),
        "#x": st.sampled_from([["rare"], ["none"], ["rare", *map(str, range(40))]]),
        "since": st.integers(NOW - 6_100, NOW),
        "until": st.integers(NOW - 6_100, NOW),
        "limit": st.integers(1, 50),
    }
    names = st.lists(st.sampled_from(sorted(optional)), max_size=5, unique=True)
    return names.map(lambda chosen: {name: optional[name] for name in chosen}).flatmap(st.fixed_dictionaries)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(wanted=filters())
async def test_any_filter_is_bounded_and_never_answered_wrongly(plans: Plans, reads: Reads, wanted: Json) -> None:
    reads.attempts.bounds = BOUNDS
    flt = parse_filter(wanted, LIMITS)
    if needs_query(flt):
        assert await check(plans, reads, wanted) is None


@pytest.mark.parametrize(
    "wanted", [{"kinds": [9], "#p": [PEER]}, {"kinds": [9], "#p": [PEER, "e" * 64]}, {"#t": ["common"], "#x": ["none"]}]
)
@pytest.mark.parametrize("second", [False, True])
async def test_many_filters_read_no_more_than_some_alone(plans: Plans, wanted: Json, second: bool) -> None:
    filters = [parse_filter({**wanted, "until": NOW - n}, LIMITS) for n in range(20)]
    alone = plans.read(query_statement(filters[:1], NOW, bounds=BOUNDS, attempt=int(second)))
    together = plans.read(query_statement(filters, NOW, bounds=BOUNDS, attempt=int(second)))
    assert together.rows <= FULL_SHARES * alone.rows + 20 * 2 * LIMITS.max_limit + 20 * LOOKS


@pytest.mark.parametrize("wanted", [{"kinds": [4]}, {"kinds": [4], "#p": [PEER], "until": NOW}, {"kinds": [1_059, 4]}])
def test_private_kinds_cost_nothing_for_those_who_cannot_read_them(wanted: Json) -> None:
    assert not needs_query(parse_filter(wanted, LIMITS))


@pytest.mark.parametrize("wanted", [{"kinds": [1_059]}, {"kinds": [9, 1_059]}, {"kinds": [1_059, 4], "#p": [PEER]}])
async def test_private_events_of_others_are_not_looked_through(plans: Plans, wanted: Json) -> None:
    reader = Audience.of(["e" * 64])
    parts = division(parse_filter(wanted, LIMITS), reader)
    assert plans.read(query_statement(parts, NOW, reader, BOUNDS)).rows < 4 * LOOKS


async def test_what_is_common_alone_is_found_at_once(plans: Plans) -> None:
    """A bound is no reason to refuse what apps ask for."""
    for wanted in ({"#t": ["common"]}, {"#p": [PEER], "kinds": [1, 7]}, {"authors": AUTHORS[:1], "#t": ["common"]}):
        read = plans.read(query_statement([parse_filter(wanted, LIMITS)], NOW))
        assert read.rows < 10_000, wanted

"""Every shape of filter walks indexes, and reads little more than it returns.

`PLAN_EVENTS=1000000 .venv/bin/python -m pytest -s tests/integration/storage/test_plans.py --timeout 3000` does the same
on a large store, as a benchmark of plans.
"""

import asyncio
import os
import random
from collections.abc import Iterable, Iterator
from itertools import combinations, islice, product
from typing import Any

import pytest

from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.protocol.visibility import names_private
from relay.storage.explain import Attempt, Outcome, attempts_of, connected
from relay.storage.filter_sql import needs_query
from relay.storage.slow_queries import shape_of
from relay.storage.walk_bounds import BOUNDS as REAL
from relay.storage.walk_bounds import Bounds, rows_wanted
from tests.events import NOW, unsigned_event
from tests.integration.storage.bulk import copy_in
from tests.integration.storage.scribe import Json, Tables

pytestmark = pytest.mark.django_db

EVENTS = int(os.environ.get("PLAN_EVENTS", "30000"))
PAGE = 50_000
SPAN_SECONDS = 30 * 86_400
AUTHORS = [f"{number:064x}" for number in range(1, 601)]
READER = AUTHORS[7]
LIMITS = Limits()
WASTE = 20
"""Entries that a statement may read for each row that it returns."""

PATIENCE = 30.0
FEW = 100_000
BOUNDS = REAL if EVENTS > FEW else Bounds(walk_rows=1_024, most_rows=2_048)
"""Small on a small store, so that a walk that has no bound is seen."""

COMPARED = 6_000
"""Entries counted to find the rarest of several tags."""


def events() -> Iterator[Json]:
    """Notes, reactions, reposts and few articles of authors by a steep distribution, with common and rare tags."""
    chance = random.Random(9)
    ids: list[str] = []
    for number in range(EVENTS):
        kind = chance.choices([1, 7, 6, 30_023, 9, 1_059], [60, 25, 8, 3, 0.05, 4])[0]
        author = AUTHORS[min(int(chance.paretovariate(0.7)) - 1, len(AUTHORS) - 1)]
        tags = [["p", chance.choice(AUTHORS)]]
        tags += [["e", chance.choice(ids)]] if ids and chance.random() < 0.5 else []
        tags += [["t", f"word{min(int(chance.paretovariate(0.6)), 2_000)}"]] if chance.random() < 0.3 else []
        tags += [["d", str(number)]] if kind == 30_023 else []
        created_at = NOW - number * SPAN_SECONDS // EVENTS
        made = unsigned_event(pubkey=author, kind=kind, created_at=created_at, tags=tags, content="")
        ids = [*ids[-200:], made["id"]] if kind == 1 else ids
        yield made


@pytest.fixture(scope="module")
def ids(database: Tables) -> list[str]:
    """A large store; ids of some events in it."""
    database.clear()
    made, found = events(), list[str]()
    while page := list(islice(made, PAGE)):
        copy_in(database, page)
        found += [event["id"] for event in page[:: len(page) // 100 or 1]]
    return found


def options(ids: list[str]) -> dict[str, list[Json]]:
    """What each condition may be: one value, some, many; common, rare and absent."""
    common = AUTHORS[:1]
    return {
        "ids": [{"ids": ids[:1]}, {"ids": ids[:20]}, {"ids": [*ids, "e" * 64]}],
        "authors": [{"authors": common}, {"authors": AUTHORS[5:25]}, {"authors": AUTHORS[:300]}],
        "kinds": [{"kinds": [1]}, {"kinds": [9]}, {"kinds": [1, 6, 7]}, {"kinds": [*range(40_000, 40_040)]}],
        "tags": [
            {"#e": ids[:1]}, {"#p": common}, {"#p": AUTHORS[:50]}, {"#t": ["word1"]}, {"#t": ["word7", "none"]},
            {"#t": ["word1"], "#p": common},
        ],
        "time": [{"until": NOW - SPAN_SECONDS // 2}, {"since": NOW - 900_000, "until": NOW - 800_000}],
        "limit": [{"limit": 1}, {"limit": 500}],
    }  # fmt: skip


def shapes(ids: list[str]) -> Iterator[Json]:
    """All filters of up to three conditions."""
    given = options(ids)
    for size in range(4 if EVENTS <= FEW else 3):
        for names in combinations(given, size):
            for chosen in product(*(given[name] for name in names)):
                yield {name: value for each in chosen for name, value in each.items()}


IDS = "each id is looked up, and its tags, and before that whether the store is divided"
LISTS = "many authors and kinds: the newest events are searched, then a few entries of each, then more of some"
TAGS = "a tag and another condition: no index has both, so events with the tag, or of the author, are looked at"
WALKS = "several authors, kinds or values of a tag: each walk may fill the limit alone"
PRIVATE = "private kinds without a recipient: what the reader may not read is passed over"


def reason(flt: Filter) -> str:
    """Why a filter may read more than WASTE entries for each row, up to a bound; "" if it may not."""
    if flt.ids is not None:
        return IDS
    if flt.tags:
        others = len(flt.tags) - 1 + (flt.authors is not None) + (flt.kinds is not None)
        if others:
            return TAGS
    elif names_private(flt):
        return PRIVATE
    elif pairs(flt) > BOUNDS.walks:
        return LISTS
    return WALKS if walks(flt) > 1 else ""


def pairs(flt: Filter) -> int:
    return len(flt.authors or "*") * len(flt.kinds or "*")


def walks(flt: Filter) -> int:
    return max(pairs(flt), values(flt))


def values(flt: Filter) -> int:
    return sum(len(each) for _, each in flt.tags)


def most(flt: Filter, attempt: Attempt) -> int:
    """Entries that a statement may read; one event may be an entry of an index, a row, and the place of its text."""
    bounds = {
        "": 0,
        IDS: 2 + len(flt.ids or ()) * (1 + values(flt)),
        WALKS: (3 * walks(flt) + walks(flt) // 10) * rows_wanted(flt),  # private entries of a tag are passed over
        TAGS: COMPARED + 3 * BOUNDS.most_rows,
        PRIVATE: max(BOUNDS.walk_rows, BOUNDS.share(1, rows_wanted(flt))) + 1,
        LISTS: 4 * BOUNDS.most_rows,
    }
    return max(WASTE * (attempt.events + 1), bounds[reason(flt)])


async def attempts(wanted: Iterable[Filter], audience: Audience = ANONYMOUS) -> list[tuple[Filter, Attempt]]:
    """Every statement that the relay would send for these filters, one after the other."""
    async with connected() as connection:
        return [
            (flt, attempt)
            for flt in wanted
            if needs_query(flt, audience)
            for attempt in await attempts_of(connection, [flt], audience, PATIENCE, BOUNDS)
        ]


def described(flt: Filter, attempt: Attempt) -> str:
    figures = attempt.figures
    return f"{shape_of([flt])}: {figures.read:,} entries for {attempt.events:,} events, {attempt.outcome}"


@pytest.fixture(scope="module")
def ran(ids: list[str]) -> list[tuple[Filter, Attempt]]:
    """The statements of all shapes, for readers without a key; of some for one who reads private events."""
    public = [parse_filter(wanted, LIMITS) for wanted in shapes(ids)]
    private: list[dict[str, Any]] = [
        {},
        {"kinds": [1_059]},
        {"#p": [READER]},
        {"kinds": [1_059], "#p": [READER]},
        {"kinds": [1, 1_059]},
    ]
    own = [parse_filter({**wanted, "limit": 20}, LIMITS) for wanted in private]
    found = asyncio.run(attempts(public)) + asyncio.run(attempts(own, Audience.of([READER])))
    if EVENTS > FEW:
        for flt, attempt in sorted(found, key=lambda each: -each[1].figures.run_ms)[:40]:
            print(f"{attempt.figures.run_ms:8.1f} ms  {described(flt, attempt)}")
    return found


def test_no_shape_of_filter_reads_a_large_table_from_end_to_end(ran: list[tuple[Filter, Attempt]]) -> None:
    assert len(ran) > (500 if EVENTS <= FEW else 150)
    assert [described(*each) for each in ran if each[1].figures.scans] == []


def test_every_shape_reads_little_more_than_it_returns_or_keeps_to_the_bound_of_its_kind(
    ran: list[tuple[Filter, Attempt]],
) -> None:
    assert [described(*each) for each in ran if each[1].figures.read > most(*each)] == []


def test_a_shape_that_indexes_serve_alone_never_stops_at_a_bound(ran: list[tuple[Filter, Attempt]]) -> None:
    stopped = [flt for flt, attempt in ran if attempt.outcome in (Outcome.STOPPED, Outcome.TIMED_OUT)]

    assert [shape_of([flt]) for flt in stopped if reason(flt) in ("", IDS, WALKS)] == []


def test_each_exception_is_needed(ran: list[tuple[Filter, Attempt]]) -> None:
    wasteful = {reason(flt) for flt, attempt in ran if attempt.figures.read > WASTE * (attempt.events + 1)}

    assert wasteful == {IDS, LISTS, TAGS, WALKS, PRIVATE}

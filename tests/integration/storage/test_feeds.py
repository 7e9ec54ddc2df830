"""The newest events of many authors, and of several values of a tag: the oracle's answer wherever the walks stop, and
few entries of each are read.
"""

import contextlib
import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.protocol.audience import Audience
from relay.protocol.errors import Failed
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.storage.filter_sql import Bounds, query_statement
from relay.storage.reads import Reads
from tests.events import NOW, unsigned_event
from tests.integration.storage.bulk import copy_in
from tests.integration.storage.plans import Plans
from tests.integration.storage.scribe import Json, Tables
from tests.oracle import naive_query

pytestmark = pytest.mark.django_db

LIMITS = Limits(max_limit=200, default_limit=20)
AUTHORS = [f"{number:064x}" for number in range(1, 61)]
KINDS = [1, 6, 7, 30_023, 4]
STRANGER = "f" * 64
EVENTS = 3_000
SECONDS = 150


def _stored(expired: float) -> list[Json]:
    """A few authors write most, twenty events share a second, and one second has three hundred; a tenth is private."""
    chance = random.Random(7)
    busy = [1 / (number + 1) for number in range(len(AUTHORS))]
    events = []
    for number in range(EVENTS):
        author = STRANGER if number % 7 == 0 else chance.choices(AUTHORS, busy)[0]
        tags = [["expiration", str(NOW - chance.choice([0, 1]))]] if chance.random() < expired else []
        if number % 50 == 0:
            tags = [["expiration", str(NOW + 1)]]
        events.append(
            unsigned_event(
                pubkey=author,
                kind=chance.choice([1, 1, 1, 1, 6, 6, 7, 7, 30_023, 4]),
                created_at=NOW - 40 if number % 10 == 0 else NOW - number * SECONDS // EVENTS,
                tags=[*tags, ["d", str(number)], *_named(chance, busy)],
                content=str(number),
            )
        )
    return events


def _named(chance: random.Random, busy: list[float]) -> list[list[str]]:
    """Up to four of the authors, some of them twice: those who write most are named most."""
    return [["p", key] for key in chance.choices(AUTHORS, busy, k=chance.choice([0, 1, 1, 1, 2, 4]))]


BUSY, QUIET = AUTHORS[:4], AUTHORS[30:]


@pytest.fixture(scope="module")
def stored(request: pytest.FixtureRequest, database: Tables) -> list[Json]:
    """What the tables hold. Of a hundred events two have expired, or the share that is the parameter."""
    events = _stored(getattr(request, "param", 0.02))
    database.clear()
    copy_in(database, events)
    return events


@pytest.fixture
def tables(database: Tables, stored: list[Json]) -> Iterator[Tables]:
    """Not emptied between the tests, which add nothing but requests to vanish."""
    yield database
    database.connection.execute("DELETE FROM relay_vanish_pending")


@pytest.fixture(autouse=True)
def now_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.storage.question_attempts.time", SimpleNamespace(time=lambda: NOW + 0.5))


async def found_ids(reads: Reads, wanted: Json, keys: list[str]) -> list[str]:
    result = await reads.query([parse_filter(wanted, LIMITS)], Audience.of(keys))
    return [msgspec.json.decode(text)["id"] for text in result.events]  # type: ignore[arg-type]


def oracle_ids(stored: list[Json], wanted: Json, keys: list[str]) -> list[str]:
    found = naive_query(stored, [wanted], NOW, LIMITS.max_limit, LIMITS.default_limit, keys)
    return [event["id"] for event in found]


def feeds(name: str = "authors") -> st.SearchStrategy[Json]:
    """Filters of many authors, or of many that are named; limits from 1 to beyond what there is of them."""
    times = st.one_of(st.none(), st.sampled_from([NOW - 40, NOW - 41]), st.integers(NOW - SECONDS, NOW + 1))
    return st.fixed_dictionaries(
        {
            name: st.one_of(
                st.sampled_from([AUTHORS, BUSY, QUIET, [*BUSY, *QUIET], [*QUIET, STRANGER]]),
                st.lists(st.sampled_from([*AUTHORS, STRANGER, "e" * 64]), min_size=2, max_size=50, unique=True),
            ),
            "kinds": st.one_of(st.none(), st.lists(st.sampled_from([*KINDS, 9]), min_size=1, max_size=6, unique=True)),
            "since": times,
            "until": times,
            "limit": st.one_of(st.none(), st.integers(1, 40), st.sampled_from([100, 200])),
        }
    ).map(lambda named: {name: value for name, value in named.items() if value is not None})


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    wanted=feeds(),
    first_rows=st.sampled_from([1, 2, 3, 8, 100]),
    recent_rows=st.sampled_from([0, 1, 8]),
    most_rows=st.sampled_from([400, 100_000]),
    keys=st.sampled_from([[], AUTHORS[:1], AUTHORS[2:5]]),
)
async def test_a_feed_is_the_oracles_wherever_its_walks_stop(
    stored: list[Json],
    reads: Reads,
    wanted: Json,
    first_rows: int,
    recent_rows: int,
    most_rows: int,
    keys: list[str],
) -> None:
    reads.attempts.bounds = Bounds(walks=1, first_rows=first_rows, recent_rows=recent_rows, most_rows=most_rows)
    is_read_alone = most_rows > 400 and 4 not in wanted.get("kinds", [4])  # else too many entries may be private
    with contextlib.nullcontext() if is_read_alone else contextlib.suppress(Failed):
        assert await found_ids(reads, wanted, keys) == oracle_ids(stored, wanted, keys)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    wanted=feeds("#p"),
    first_rows=st.sampled_from([1, 2, 8]),
    most_rows=st.sampled_from([60, 400, 100_000]),
    keys=st.sampled_from([[], AUTHORS[:1]]),
)
async def test_of_several_values_of_a_tag_the_answer_is_the_oracles_wherever_the_walks_stop(
    stored: list[Json], reads: Reads, wanted: Json, first_rows: int, most_rows: int, keys: list[str]
) -> None:
    reads.attempts.bounds = Bounds(first_rows=first_rows, most_rows=most_rows)
    with contextlib.nullcontext() if most_rows > 400 else contextlib.suppress(Failed):
        assert await found_ids(reads, wanted, keys) == oracle_ids(stored, wanted, keys)


@pytest.mark.parametrize("limit", [20, 200])
@pytest.mark.parametrize("stored", [0.97], indirect=True)
async def test_of_several_values_of_a_tag_the_answer_is_the_oracles_if_most_has_expired(
    stored: list[Json], reads: Reads, limit: int
) -> None:
    wanted = {"#p": AUTHORS[2:6], "kinds": [1, 6], "limit": limit}
    assert await found_ids(reads, wanted, []) == oracle_ids(stored, wanted, [])
    assert reads.attempts.second_attempts == 1


@pytest.mark.parametrize("limit", [20, 200])
@pytest.mark.parametrize("stored", [0.97], indirect=True)
async def test_a_feed_of_which_most_has_expired_is_still_the_oracles(
    stored: list[Json], reads: Reads, limit: int
) -> None:
    reads.attempts.bounds = Bounds(walks=1, recent_rows=0)
    wanted = {"authors": AUTHORS, "kinds": [1, 6], "limit": limit}
    assert await found_ids(reads, wanted, []) == oracle_ids(stored, wanted, [])
    assert reads.attempts.second_attempts == 1


@pytest.mark.parametrize("recent_rows", [0, 8])
@pytest.mark.parametrize("limit", [20, 200])
async def test_a_feed_leaves_out_an_author_who_vanishes(
    tables: Tables, stored: list[Json], reads: Reads, limit: int, recent_rows: int
) -> None:
    until = NOW - 20
    tables.connection.execute(
        "INSERT INTO relay_vanish_pending (pubkey, tag_key, until, seq, walked_to) VALUES (%s, %s, %s, 1, 0)",
        (bytes.fromhex(AUTHORS[0]), b"p", until),
    )
    reads.attempts.bounds = Bounds(walks=1, recent_rows=recent_rows)
    wanted: Json = {"authors": AUTHORS, "kinds": [1, 6], "limit": limit}
    left = [event for event in stored if event["pubkey"] != AUTHORS[0] or event["created_at"] > until]
    assert await found_ids(reads, wanted, []) == oracle_ids(left, wanted, [])


def _rows_read(plans: Plans, authors: list[str], **more: Any) -> int:
    wanted = {"authors": authors, "kinds": [1, 6], "limit": 20, **more}
    return plans.read(query_statement([parse_filter(wanted, LIMITS)], NOW, bounds=Bounds(recent_rows=0))).rows


def test_of_authors_who_write_much_a_few_entries_are_read(plans: Plans) -> None:
    """All that these have written is 2,000 events."""
    assert _rows_read(plans, AUTHORS) < 2 * len(AUTHORS) * 8 + 200


def test_of_values_on_many_events_a_few_entries_are_read(plans: Plans) -> None:
    """Each of the 50 is walked up to the limit without that, and each of its events is looked at."""
    statement = query_statement(
        [parse_filter({"#p": AUTHORS[:50], "kinds": [1, 6, 7, 30_023], "limit": 200}, LIMITS)], NOW
    )
    read = plans.rows_by_index(statement)
    assert read["relay_tag_newest"] < 50 * 16 + 5 * 250
    assert read.get("relay_event_pkey", 0) + read.get("relay_event_newest", 0) < 260


def test_no_author_is_walked_when_the_newest_events_hold_the_answer(plans: Plans) -> None:
    statement = query_statement(
        [parse_filter({"authors": [*AUTHORS, STRANGER], "kinds": [1, 6, 7], "limit": 20}, LIMITS)], NOW
    )
    assert "relay_event_author_kind" not in plans.rows_by_index(statement)


def test_the_newest_events_are_not_looked_through_for_authors_who_write_little(
    plans: Plans, stored: list[Json]
) -> None:
    statement = query_statement([parse_filter({"authors": QUIET, "kinds": [1], "limit": 200}, LIMITS)], NOW)
    read = plans.rows_by_index(statement)
    texts = sum(event["pubkey"] in QUIET and event["kind"] == 1 for event in stored)
    assert 0 < read["relay_event_newest"] + read.get("relay_event_pkey", 0) - texts < 64  # either finds the texts
    assert read["relay_event_author_kind"] > 0

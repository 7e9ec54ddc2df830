"""The oracle, the SQL engine and the live index give one answer, for any filter and on every way of the SQL."""

import random
from collections.abc import Iterator, Sequence
from itertools import product
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.protocol.audience import Audience
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.protocol.visibility import keep_drafts_private, keep_for_logins, visible
from relay.storage.filter_sql import Bounds
from relay.storage.reads import Reads
from relay.subscriptions.index import FilterIndex
from tests import strategies
from tests.events import NOW, unsigned_event
from tests.integration.storage.scribe import Json, Scribe, Tables, entry
from tests.oracle import naive_end, naive_match, naive_query, naive_visible
from tests.strategies import HEX_VALUES, LETTERS, PUBKEYS, STORED_KINDS, VALUES

pytestmark = pytest.mark.django_db

MAX_LIMIT, DEFAULT_LIMIT = 8, 4
LIMITS = Limits(max_limit=MAX_LIMIT, default_limit=DEFAULT_LIMIT)


def _pool(count: int) -> list[Json]:
    """Events of all stored kinds with odd tags, made once; many share a second, some have expired."""
    chance = random.Random(11)

    def tag() -> list[str]:
        return [chance.choice(LETTERS), chance.choice(VALUES + HEX_VALUES)]

    odd = [
        [],
        ["t"],
        ["", "a"],
        ["t", "x" * 3_000],
        ["expiration", str(NOW)],
        ["expiration", str(NOW + 1)],
        ["#t", "a"],
    ]
    return [
        unsigned_event(
            pubkey=chance.choice(PUBKEYS),
            kind=chance.choice([*STORED_KINDS, 1, 1, 1, 4, 1_059, 22_242, 31_234, 1_234, 10_013]),
            created_at=NOW + chance.randint(-3, 3),
            tags=[tag() if chance.random() < 0.8 else chance.choice(odd) for _ in range(chance.randint(0, 5))],
            content=str(number),
        )
        for number in range(count)
    ]


POOL = _pool(400)


def survivors(events: Sequence[Json]) -> list[Json]:
    """What is stored of `events`: of each replaceable address the newest, in a tie the lowest id (01-K02..K06)."""
    kept: dict[object, Json] = {}
    for event in sorted(events, key=lambda event: (event["created_at"], [-ord(c) for c in event["id"]])):
        kept[_address(event) or event["id"]] = event
    return list(kept.values())


def _address(event: Json) -> object:
    kind = event["kind"]
    if 30_000 <= kind < 40_000:
        named = [tag for tag in event["tags"] if tag[:1] == ["d"]]
        return event["pubkey"], kind, named[0][1] if named and len(named[0]) > 1 else ""
    return (event["pubkey"], kind) if kind in (0, 3) or 10_000 <= kind < 20_000 else None


def parse(wanted: Sequence[Json]) -> list[Filter]:
    return [parse_filter(one, LIMITS) for one in wanted]


async def sql_ids(reads: Reads, wanted: Sequence[Json], keys: Sequence[str] = ()) -> list[str]:
    result = await reads.query(parse(wanted), Audience.of(keys))
    return [msgspec.json.decode(text)["id"] for text in result.events]  # type: ignore[arg-type]


def oracle_ids(
    stored: Sequence[Json],
    wanted: Sequence[Json],
    keys: Sequence[str] = (),
    private_drafts: bool = False,
    for_logins: Sequence[int] = (),
) -> list[str]:
    found = naive_query(stored, wanted, NOW, MAX_LIMIT, DEFAULT_LIMIT, keys, private_drafts, for_logins)
    return [event["id"] for event in found]


def live_ids(stored: Sequence[Json], wanted: Sequence[Json], keys: Sequence[str] = ()) -> set[str]:
    """What the index and the filters would send of these events to a client that has proved `keys`, were they new."""
    parsed = parse(wanted)
    index: FilterIndex[int] = FilterIndex()
    for number, flt in enumerate(parsed):
        index.add(number, [flt])
    while index.is_entering:
        index.enter_some()
    found = set()
    for event in [entry(event).event for event in stored]:
        if any(parsed[owner].matches(event) for owners in index.candidates(event) for owner in owners) and visible(
            event, Audience.of(keys), NOW
        ):
            found.add(event.id)
    return found


@pytest.fixture(autouse=True)
def kinds_are_public() -> Iterator[None]:
    yield
    keep_drafts_private(False)
    keep_for_logins(())


@pytest.fixture
def now_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.storage.question_attempts.time", SimpleNamespace(time=lambda: NOW + 0.5))


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_all_engines_give_the_oracles_answer(
    data: Any, scribe: Scribe, reads: Reads, tables: Tables, now_stands_still: None
) -> None:
    tables.clear()
    chosen = data.draw(st.lists(st.sampled_from(POOL), max_size=25, unique_by=lambda event: event["id"]), "events")
    if chosen:
        await scribe.write(*chosen)
    stored = survivors(chosen)
    assert tables.ids() == {event["id"] for event in stored}
    for _ in range(3):
        walks = data.draw(st.sampled_from([0, 2, 24]), "walks")
        most_walks = data.draw(st.sampled_from([1, 20_000]), "most walks")
        recent_rows = data.draw(st.sampled_from([0, 1, 8]), "recent")
        first_rows = data.draw(st.sampled_from([1, 2, 8]), "first")
        reads.attempts.bounds = Bounds(
            walks=walks, recent_rows=recent_rows, first_rows=first_rows, most_rows=100, most_walks=most_walks
        )
        ids = [event["id"] for event in chosen[:4]]
        wanted = data.draw(strategies.filter_lists(ids, max_limit=MAX_LIMIT), "filters")
        keys = data.draw(strategies.audiences(), "keys")
        drafts = data.draw(st.booleans(), "private drafts")
        for_logins = data.draw(st.sampled_from([(), (1, 30_023, 1_059, 1_234)]), "kinds for those who log in")
        keep_drafts_private(drafts)
        keep_for_logins(for_logins)
        assert await sql_ids(reads, wanted, keys) == oracle_ids(stored, wanted, keys, drafts, for_logins)
        said = (await reads.query(parse(wanted), Audience.of(keys))).end.value
        assert said in ((), (naive_end(stored, wanted, NOW, MAX_LIMIT, DEFAULT_LIMIT, keys, drafts, for_logins),))
        assert live_ids(stored, wanted, keys) == {
            event["id"]
            for event in stored
            if naive_visible(event, NOW, keys, drafts, for_logins) and any(naive_match(one, event) for one in wanted)
        }


SOME, MANY = PUBKEYS[:2], [*PUBKEYS, *(f"{number:064x}" for number in range(1, 40))]
KINDS_MANY = [*STORED_KINDS, *range(2_000, 2_030)]
IDS = [event["id"] for event in POOL[::9]]

WAYS: dict[str, list[Json]] = {
    "nothing": [{}],
    "ids": [{"ids": IDS[:30]}],
    "ids and everything else": [{"ids": IDS, "authors": PUBKEYS[:3], "kinds": [1, 7, 0], "#t": ["a", "nostr", ""]}],
    "one tag, one value": [{"#t": ["a"]}],
    "one tag, many values": [{"#t": VALUES}],
    "a value of NUL": [{"#t": ["\u0000"]}],
    "a value too long for an index": [{"#t": ["x" * 3_000]}],
    "a value that is hex": [{"#a": [PUBKEYS[0], PUBKEYS[1].upper()]}],
    "several letters": [{"#t": VALUES, "#e": HEX_VALUES}],
    "letters of both cases": [{"#E": VALUES}, {"#e": HEX_VALUES}, {"#p": HEX_VALUES, "#P": VALUES}],
    "a tag and a kind": [{"#t": VALUES, "kinds": [1]}],
    "a tag and few authors": [{"#t": VALUES, "authors": SOME}],
    "a tag, few authors, few kinds": [{"#d": VALUES, "authors": SOME, "kinds": [1, 30_000]}],
    "a specific tag and an author": [{"#a": VALUES, "authors": SOME}],
    "a tag and many authors": [{"#t": VALUES, "authors": MANY}],
    "one author": [{"authors": PUBKEYS[:1]}],
    "few authors": [{"authors": SOME}],
    "many authors": [{"authors": MANY}],
    "one author, one kind": [{"authors": PUBKEYS[:1], "kinds": [1]}],
    "few authors, few kinds": [{"authors": SOME, "kinds": [1, 7]}],
    "many authors, one kind": [{"authors": MANY, "kinds": [1]}],
    "many authors, many kinds": [{"authors": MANY, "kinds": KINDS_MANY}],
    "one author, many kinds": [{"authors": PUBKEYS[:1], "kinds": KINDS_MANY}],
    "one kind": [{"kinds": [1]}],
    "few kinds": [{"kinds": [1, 7, 30_023]}],
    "many kinds": [{"kinds": KINDS_MANY}],
    "private kinds": [{"kinds": [4, 1_059, 22_242]}],
    "private kinds of one recipient": [{"kinds": [4, 1_059], "#p": PUBKEYS[:1]}],
    "drafts": [{"kinds": [31_234, 1_234, 10_013, 1]}],
    "private kinds of one author": [{"kinds": [4, 1_059], "authors": PUBKEYS[:1]}],
    "several filters": [{"kinds": [1]}, {"authors": SOME}, {"#t": VALUES}, {"ids": IDS}, {}],
    "filters without an answer": [{"kinds": []}, {"kinds": [1]}, {"limit": 0}, {"since": 5, "until": 4}, {"ids": IDS}],
    "values twice": [{"kinds": [1, 1], "authors": PUBKEYS + PUBKEYS, "#t": ["a", "a"]}],
}
WINDOWS: list[Json] = [
    {},
    {"since": NOW - 1},
    {"until": NOW},
    {"since": NOW, "until": NOW},
    {"until": -1},
    {"since": -(2**63)},
]
AMOUNTS: list[Json] = [{}, {"limit": 0}, {"limit": 1}, {"limit": MAX_LIMIT}, {"limit": 500}]


@pytest.mark.parametrize("keys", [[], PUBKEYS[:1], PUBKEYS[1:3]], ids=["no key", "one key", "two keys"])
async def test_every_way_of_the_sql_gives_the_oracles_answer(
    scribe: Scribe, reads: Reads, now_stands_still: None, keys: list[str]
) -> None:
    """Wherever the walk along the newest events ends."""
    await scribe.write(*POOL)
    stored = survivors(POOL)
    wrong = []
    for (name, way), window, amount in product(WAYS.items(), WINDOWS, AMOUNTS):
        wanted = [{**amount, **window, **one} for one in way]
        right = oracle_ids(stored, wanted, keys)
        for recent_rows in (0, 1, 8):
            reads.attempts.bounds = Bounds(recent_rows=recent_rows, most_rows=400)
            if await sql_ids(reads, wanted, keys) != right:
                wrong.append((name, window, amount, recent_rows))
    assert wrong == []


async def test_a_deep_answer_is_the_oracles(scribe: Scribe, reads: Reads, now_stands_still: None) -> None:
    """Limits beyond the number of events: nothing is cut, nothing comes twice."""
    await scribe.write(*POOL)
    limits = Limits(max_limit=5_000, default_limit=5_000)
    for name, way in WAYS.items():
        result = await reads.query([parse_filter(one, limits) for one in way])
        expected = naive_query(survivors(POOL), way, NOW, 5_000, 5_000)
        found = [msgspec.json.decode(text) for text in result.events]  # type: ignore[arg-type]
        assert found == expected, name

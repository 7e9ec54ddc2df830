"""Deletions and requests to vanish on the real database: the vectors, random events in any order and batches."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.storage.write_result import WriteOutcome
from tests.events import NOW, pubkey_of, secret, unsigned_event
from tests.integration.storage.gone import Json, answers, served
from tests.integration.storage.scribe import Scribe, Tables

pytestmark = pytest.mark.django_db

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "deletion.json").read_text())["deletion"]
EVENTS: dict[str, Json] = VECTORS["events"]
SEQUENCES: list[dict[str, Any]] = VECTORS["sequences"]
TEXTS = {
    WriteOutcome.STORED: [True, ""],
    WriteOutcome.DUPLICATE: [True, "duplicate"],
    WriteOutcome.OUTDATED: [False, "duplicate"],
    WriteOutcome.DELETED: [False, "blocked"],
}


async def one_by_one(scribe: Scribe, events: list[Json]) -> list[WriteOutcome]:
    return [outcome for event in events for outcome in await scribe.write(event)]


@pytest.mark.parametrize("sequence", SEQUENCES, ids=[sequence["name"] for sequence in SEQUENCES])
async def test_09_and_62_the_vectors(scribe: Scribe, tables: Tables, sequence: dict[str, Any]) -> None:
    events = [EVENTS[name] for name in sequence["order"]]
    outcomes = await one_by_one(scribe, events)
    assert [TEXTS[outcome] for outcome in outcomes] == sequence["ok"]
    assert tables.ids() == {EVENTS[name]["id"] for name in sequence["served"]}
    tables.vanish(1)
    assert tables.ids() == {EVENTS[name]["id"] for name in sequence["served"]}
    assert [outcome.value for outcome in outcomes] == answers(events)


@pytest.mark.parametrize(
    "sequence", [s for s in SEQUENCES if s["all_orders"]], ids=[s["name"] for s in SEQUENCES if s["all_orders"]]
)
async def test_09_17_every_order_ends_the_same(scribe: Scribe, tables: Tables, sequence: dict[str, Any]) -> None:
    for order in permutations(sequence["order"]):
        tables.clear()
        await scribe.write(*[EVENTS[name] for name in order])  # batches as they come
        assert tables.ids() == {EVENTS[name]["id"] for name in sequence["served"]}, order


AUTHORS = [pubkey_of(secret(number)) for number in (1, 2, 3)]
KINDS = [0, 1, 1, 3, 1059, 1059, 10_002, 30_023, 30_023, 30_023]


@st.composite
def histories(draw: st.DrawFn, *, vanish: bool = True) -> list[Json]:
    """Events of few authors and seconds, and what deletes them; some come twice."""
    author, time = st.sampled_from(AUTHORS), st.integers(NOW, NOW + 3)
    events = []
    for _ in range(draw(st.integers(1, 9))):
        kind = draw(st.sampled_from(KINDS))
        tags = [["d", draw(st.sampled_from("xy"))]] if kind == 30_023 else []
        tags += [["p", key] for key in draw(st.lists(author, max_size=2, unique=True))]
        content = str(draw(st.integers(0, 2)))
        events.append(unsigned_event(pubkey=draw(author), kind=kind, tags=tags, content=content, created_at=draw(time)))
    for _ in range(draw(st.integers(0, 5))):
        pubkey = draw(author)
        places = [f"30023:{pubkey}:x", f"30023:{pubkey}:y", f"0:{pubkey}:", f"10002:{pubkey}", f"3:{AUTHORS[0]}:"]
        tags = [["e", event["id"]] for event in draw(st.lists(st.sampled_from(events), max_size=3))]
        tags += [["a", place] for place in draw(st.lists(st.sampled_from(places), max_size=2))]
        events.append(unsigned_event(pubkey=pubkey, kind=5, tags=tags, created_at=draw(time)))
    for _ in range(draw(st.integers(0, 2)) if vanish else 0):
        relay = draw(st.sampled_from(["ALL_RELAYS", "ALL_RELAYS", "wss://relay.example.com", "wss://other.example"]))
        tags = [["relay", relay]]
        events.append(unsigned_event(pubkey=draw(author), kind=62, tags=tags, created_at=draw(time)))
    again = draw(st.lists(st.sampled_from(events), max_size=4))
    return draw(st.permutations(events + again))


HARD = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@HARD
@given(histories(), st.lists(st.integers(1, 12), min_size=1, max_size=6), st.data())
async def test_09_18_any_batches_answer_and_end_as_if_sent_one_by_one(
    scribe: Scribe, tables: Tables, history: list[Json], sizes: list[int], data: st.DataObject
) -> None:
    tables.clear()
    outcomes: list[WriteOutcome] = []
    rest = list(history)
    for turn in range(len(history)):
        size = sizes[turn % len(sizes)]
        part, rest = rest[:size], rest[size:]
        if not part:
            break
        outcomes += await scribe.write(*part)
        if data.draw(st.booleans()):
            tables.rows("SELECT relay_vanish_step(NULL, 2)")
    assert [outcome.value for outcome in outcomes] == answers(history)
    assert tables.ids() == served(history).ids()
    tables.vanish(2)
    assert tables.ids() == served(history).ids()
    assert {event_id.hex() for (event_id,) in tables.rows("SELECT id FROM relay_event")} == tables.ids()


@HARD
@given(histories(vanish=False), st.randoms(use_true_random=False))
async def test_09_17_every_order_of_arrival_ends_in_the_same_served_set(
    scribe: Scribe, tables: Tables, history: list[Json], chance: Any
) -> None:
    tables.clear()
    await scribe.write(*history)
    first = tables.ids()
    chance.shuffle(history)
    tables.clear()
    await scribe.write(*history)
    assert tables.ids() == first == served(history).ids()

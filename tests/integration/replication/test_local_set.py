"""What a store says in a comparison, against a naive look at its events."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.protocol import visibility
from relay.protocol.negentropy.items import Items
from replication.models import RefusedId, Region
from replication.reconcile import local_set
from replication.reconcile.local_set import LocalSet, OwnConnection
from replication.reconcile.messages import Part, Stage, Window, window_of
from replication.reconcile.scope import Floor, Scope
from tests.events import NOW, pubkey_of, secret, sign_event
from tests.integration.storage.scribe import Json, Scribe, Tables
from tests.strategies import PUBKEYS, events

pytestmark = pytest.mark.django_db(transaction=True)

EVERYTHING = window_of(None, None)


@pytest.fixture
def here() -> Iterator[OwnConnection]:
    connection = OwnConnection()
    yield connection
    connection.close()


@pytest.fixture
def peer() -> Region:
    return Region.objects.create(name="eu", endpoint="http://eu.example.com", send="all")


def part(stage: Stage = Stage.EVENTS, scope: Scope | None = None, window: Window = EVERYTHING) -> Part:
    return Part(stage, scope or Scope(), window)


def ids_of(items: Items | None) -> list[str]:
    assert items is not None
    return [event_id.hex() for event_id in items.ids(0, len(items))]


def ordered(found: Sequence[Json]) -> list[str]:
    return [event["id"] for event in sorted(found, key=lambda event: (event["created_at"], event["id"]))]


def is_compared(event: Json, scope: Scope) -> bool:
    """The rule, said once more: public or private as the scope says, chosen kinds and authors, what is kept."""
    kind = event["kind"]
    if kind in visibility.UNREADABLE_KINDS or (kind in visibility.PRIVATE_KINDS and not scope.private):
        return False
    if scope.kinds is not None and kind not in scope.kinds:
        return False
    if scope.authors is not None and event["pubkey"] not in scope.authors:
        return False
    return not any(
        floor.before > event["created_at"] and any(low <= kind <= high for low, high in floor.kinds)
        for floor in scope.floors
    )


def scopes() -> st.SearchStrategy[Scope]:
    floor = st.builds(Floor, st.just(((0, 3), (40_000, 65_535))) | st.just(((1, 1),)), st.integers(NOW - 2, NOW + 2))
    return st.builds(
        Scope,
        kinds=st.none() | st.lists(st.sampled_from([0, 1, 4, 7, 1_059])).map(tuple),
        authors=st.none() | st.lists(st.sampled_from(PUBKEYS)).map(tuple),
        private=st.booleans(),
        floors=st.lists(floor, max_size=2).map(tuple),
    )


def windows(ids: Sequence[str]) -> st.SearchStrategy[Window]:
    bound = st.builds(
        lambda at, event_id, length: at.to_bytes(8, "big") + bytes.fromhex(event_id)[:length],
        st.integers(NOW - 4, NOW + 4),
        st.sampled_from([*ids, "00" * 32]),
        st.integers(0, 32),
    )
    return st.just(EVERYTHING) | st.tuples(bound, bound).map(sorted).map(lambda both: Window(*both))


REGULAR = [1, 4, 7, 1_059, 1984, 40_001, 65_535]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), stored=st.lists(events(kinds=REGULAR, expiring=False), max_size=12, unique_by=lambda e: e["id"]))
async def test_a_part_is_what_the_rule_says(
    data: st.DataObject, stored: list[Json], scribe: Scribe, tables: Tables, here: OwnConnection
) -> None:
    tables.clear()
    await scribe.write(*stored)
    scope = data.draw(scopes())
    window = data.draw(windows([event["id"] for event in stored]))

    found = ids_of(LocalSet(here, 0, NOW).items(part(scope=scope, window=window)))

    inside = [
        event
        for event in stored
        if is_compared(event, scope)
        and window.lower <= event["created_at"].to_bytes(8, "big") + bytes.fromhex(event["id"]) < window.upper
    ]
    assert found == ordered(inside)


async def test_expired_deleted_and_vanished_events_are_not_compared(scribe: Scribe, here: OwnConnection) -> None:
    author, gone = secret(1), secret(2)
    expired = sign_event(author, tags=[["expiration", str(NOW + 5)]])
    kept, deleted, vanished = sign_event(author, content="kept"), sign_event(author, content="x"), sign_event(gone)
    deletion = sign_event(author, kind=5, tags=[["e", deleted["id"]]])
    request = sign_event(gone, kind=62, tags=[["relay", "ALL_RELAYS"]])
    elsewhere = sign_event(author, kind=62, tags=[["relay", "wss://other.example.com"]])
    for event in (expired, kept, deleted, vanished, deletion, request, elsewhere):
        await scribe.write(event)
    local = LocalSet(here, 0, NOW + 5)

    assert ids_of(local.items(part())) == [kept["id"]]
    assert ids_of(local.items(part(Stage.REMOVALS))) == ordered([deletion, request, elsewhere])


async def test_removals_are_compared_whatever_kinds_are_chosen(scribe: Scribe, here: OwnConnection) -> None:
    deletion = sign_event(kind=5, tags=[["e", "0" * 64]])
    await scribe.write(deletion)
    local = LocalSet(here, 0, NOW)

    assert ids_of(local.items(part(Stage.REMOVALS, Scope(kinds=(1,))))) == [deletion["id"]]
    assert ids_of(local.items(part(Stage.REMOVALS, Scope(authors=(pubkey_of(secret(9)),))))) == []


async def test_a_store_is_divided_into_parts_of_few_items(
    scribe: Scribe, here: OwnConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_set, "WINDOW_ITEMS", 10)
    monkeypatch.setattr(local_set, "MOST_ITEMS", 20)
    monkeypatch.setattr(local_set, "PLAN_WINDOWS", 3)
    await scribe.write(*[sign_event(content=str(number), created_at=NOW + number % 2) for number in range(45)])
    local = LocalSet(here, 0, NOW)

    bounds, more = local.bounds(part())
    rest, more_of_rest = local.bounds(part(window=Window(bounds[-1], EVERYTHING.upper)))

    assert (len(bounds), more) == (3, True)
    assert (len(rest), more_of_rest) == (1, False)
    assert local.items(part()) is None
    places = [EVERYTHING.lower, *bounds, *rest, EVERYTHING.upper]
    parts = [local.items(part(window=Window(*both))) for both in pairwise(places)]
    assert [len(items) for items in parts if items is not None] == [9, 10, 10, 9, 7]


async def test_texts_are_those_of_the_ids_in_their_order_up_to_a_size(
    scribe: Scribe, here: OwnConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = [sign_event(content=f"{number}" * 1_000) for number in range(4)]
    private = sign_event(kind=1_059, tags=[["p", PUBKEYS[0]]])
    await scribe.write(*stored, private)
    local = LocalSet(here, 0, NOW)
    asked = [bytes.fromhex(event["id"]) for event in (*stored[::-1], private)] + [bytes(32)]

    everything = local.texts(part(), asked)
    monkeypatch.setattr(local_set, "FETCH_BYTES", 2_000)
    some = local.texts(part(), asked)

    assert [text.id.hex() for text in everything] == [event["id"] for event in stored[::-1]]
    assert [text.json is not None for text in some] == [True, True, False, False]
    assert [text.id.hex() for text in local.texts(part(scope=Scope(private=True)), asked)][-1] == private["id"]
    assert local.texts(part(window=window_of(None, NOW - 2)), asked) == []


async def test_requests_to_vanish_have_texts_too(scribe: Scribe, here: OwnConnection) -> None:
    request = sign_event(kind=62, tags=[["relay", "ALL_RELAYS"]])
    await scribe.write(request)
    asked = [bytes.fromhex(request["id"])]

    (text,) = LocalSet(here, 0, NOW).texts(part(Stage.REMOVALS), asked)

    assert text.json is not None
    assert request["id"].encode() in text.json
    assert LocalSet(here, 0, NOW).texts(part(), asked) == []


def on_own_connection(job: Callable[[], Any]) -> Any:
    from django.db import connection

    try:
        return job()
    finally:
        connection.close()


async def test_refused_ids_count_as_held_by_both_or_by_none_until_they_are_due(
    scribe: Scribe, here: OwnConnection
) -> None:
    region = await asyncio.to_thread(
        on_own_connection, lambda: Region.objects.create(name="eu", endpoint="http://eu.example.com")
    )
    mine = sign_event(content="the peer refuses it")
    await scribe.write(mine)
    local = LocalSet(here, region.origin, NOW)
    assert ids_of(local.items(part())) == [mine["id"]]

    local.note_refused(Stage.EVENTS, [(NOW, bytes.fromhex(mine["id"]))], by_peer=True, retry_at=NOW + 10)
    local.note_refused(Stage.EVENTS, [(NOW - 1, b"\x01" * 32)], by_peer=False, retry_at=NOW + 10)

    assert ids_of(local.items(part())) == ["01" * 32]
    assert ids_of(local.items(part(Stage.REMOVALS))) == []
    assert ids_of(local.items(part(window=window_of(NOW, None)))) == []
    later = LocalSet(here, region.origin, NOW + 10)
    assert ids_of(later.items(part())) == [mine["id"]]
    later.forget_refused()
    assert await asyncio.to_thread(on_own_connection, RefusedId.objects.count) == 0


async def test_a_note_is_forgotten_when_it_has_turned_out_otherwise(scribe: Scribe, here: OwnConnection) -> None:
    region = await asyncio.to_thread(
        on_own_connection, lambda: Region.objects.create(name="eu", endpoint="http://eu.example.com")
    )
    local = LocalSet(here, region.origin, NOW)
    for number, by_peer in ((1, False), (2, True)):
        local.note_refused(Stage.EVENTS, [(NOW, bytes([number]) * 32)], by_peer=by_peer, retry_at=NOW + 10)

    local.forget(part(), [b"\x01" * 32, b"\x02" * 32], by_peer=False)

    kept = await asyncio.to_thread(on_own_connection, lambda: [str(each) for each in RefusedId.objects.all()])
    assert kept == ["02" * 32]


async def test_refused_ids_are_bounded(scribe: Scribe, here: OwnConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_set, "MOST_REFUSED", 5)
    region = await asyncio.to_thread(
        on_own_connection, lambda: Region.objects.create(name="us", endpoint="http://us.example.com")
    )
    local = LocalSet(here, region.origin, NOW)
    for number in range(9):
        local.note_refused(Stage.EVENTS, [(NOW, bytes([number]) * 32)], by_peer=False, retry_at=NOW + 10)

    assert await asyncio.to_thread(on_own_connection, RefusedId.objects.count) == 5


def test_the_scope_is_that_of_the_peer_and_of_what_is_kept_here(
    tables: Tables, here: OwnConnection, peer: Region
) -> None:
    tables.rows(
        "INSERT INTO relay_retention (kinds, others, before, lists) "
        "VALUES ('{[0,2),[7,8)}', false, 100, 0) RETURNING true"
    )
    local = LocalSet(here, peer.origin, NOW)
    assert local.scope() == Scope(floors=(Floor(((0, 1), (7, 7)), 100),))

    Region.objects.filter(pk=peer.pk).update(
        send="kinds", send_kinds=[7, 1], send_authors=[PUBKEYS[0]], may_read_private=True
    )
    assert local.scope() == Scope(kinds=(1, 7), private=True, floors=(Floor(((0, 1), (7, 7)), 100),))

    Region.objects.filter(pk=peer.pk).update(enabled=False)
    assert ids_of(local.items(part(scope=local.scope()))) == []


MANY_EVENTS = """
INSERT INTO relay_event (id, pubkey, created_at, kind, tag_keys, json)
SELECT sha256(n::text::bytea), sha256((n %% 50)::text::bytea), %(first)s + n, n %% 7, '{}', '{}'
FROM generate_series(1, 2000) AS n
"""


def test_a_window_is_read_along_the_index_of_time(tables: Tables, here: OwnConnection) -> None:
    here("SET enable_seqscan = off", {})
    here(MANY_EVENTS, {"first": NOW - 2_000})
    here("ANALYZE relay_event", {})  # the planner chooses by what it knows of the table
    plans: list[str] = []

    def explained(text: str, parameters: Any) -> list[tuple[Any, ...]]:
        plans.extend(line for (line,) in here("EXPLAIN " + text, parameters))
        return here(text, parameters)

    LocalSet(explained, 0, NOW).items(part(window=window_of(NOW - 10, NOW)))

    assert any("relay_event_newest" in line for line in plans), "\n".join(plans)

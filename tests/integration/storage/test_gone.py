"""Deletions and requests to vanish on the real database: the vectors, random events in any order and batches."""

import asyncio
import json
from itertools import permutations
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from relay.changes.change import Added, Removed, Vanished
from relay.storage.database import conninfo
from relay.storage.primary import Primary
from relay.storage.upgrade import carry_out_stored
from relay.storage.write_result import WriteOutcome
from tests.events import NOW, pubkey_of, secret, unsigned_event
from tests.integration.storage.gone import Json, answers, served
from tests.integration.storage.scribe import HERE, Scribe, Tables, entry

pytestmark = pytest.mark.django_db(transaction=True)

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


HARD = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


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


@settings(HARD, max_examples=60)
@given(histories(vanish=False), st.randoms(use_true_random=False))
async def test_09_17_what_an_operator_removes_is_gone_whenever_it_comes(
    scribe: Scribe, tables: Tables, history: list[Json], chance: Any
) -> None:
    removed = chance.choice([event for event in history if event["kind"] != 5])
    ends = []
    for _ in range(2):
        tables.clear()
        place = chance.randint(0, len(history))
        await scribe.write(*history[:place])
        tables.rows(f"SELECT relay_ban_event('\\x{removed['id']}', '', 'test')")
        await scribe.write(*history[place:])
        ends.append(tables.ids())
        chance.shuffle(history)
    assert ends == [served(history).without(removed["id"]).ids()] * 2


ME, OTHER = AUTHORS[0], AUTHORS[1]
GONE, STORED = WriteOutcome.DELETED, WriteOutcome.STORED


def note(number: int, **fields: Any) -> Json:
    return unsigned_event(**{"pubkey": ME, "content": str(number), **fields})


def deletion(*targets: Json, pubkey: str = ME, **fields: Any) -> Json:
    return unsigned_event(pubkey=pubkey, kind=5, tags=[["e", event["id"]] for event in targets], **fields)


def request(relay: str = "ALL_RELAYS", **fields: Any) -> Json:
    return unsigned_event(**{"pubkey": ME, "kind": 62, "tags": [["relay", relay]], **fields})


async def test_09_1_own_targets_are_gone_and_logged(scribe: Scribe, tables: Tables) -> None:
    await one_by_one(scribe, [note(1), note(2), deletion(note(1))])
    assert tables.ids() == {note(2)["id"], deletion(note(1))["id"]}
    tables.assert_consistent()


async def test_09_2_and_09_3_foreign_and_unknown_targets_are_ignored(scribe: Scribe, tables: Tables) -> None:
    foreign = note(1, pubkey=OTHER)
    await one_by_one(scribe, [note(1), foreign, deletion(foreign, note(1), note(9))])
    assert foreign["id"] in tables.ids()
    assert note(1)["id"] not in tables.ids()
    assert await scribe.write(note(9)) == [GONE]


async def test_09_3_a_mixed_deletion_takes_its_own(scribe: Scribe, tables: Tables) -> None:
    foreign = note(1, pubkey=OTHER)
    await one_by_one(scribe, [foreign, note(1), deletion(foreign, note(1))])
    assert tables.ids() == {foreign["id"], deletion(foreign, note(1))["id"]}


async def test_09_20_known_and_unknown_targets_are_answered_alike(scribe: Scribe) -> None:
    await scribe.write(note(1))
    assert await scribe.write(deletion(note(1)), deletion(note(2))) == [STORED, STORED]


async def test_09_21_ten_thousand_targets_are_removed_in_parts_that_others_get_between(
    scribe: Scribe, tables: Tables
) -> None:
    stored = [note(number) for number in range(2_500)]
    await scribe.write(*stored)
    unknown = [f"{number:064x}" for number in range(2_000)]
    before = len(scribe.committed)
    tags = [["e", event_id] for event_id in [*[event["id"] for event in stored], *unknown]]
    assert await scribe.write(unsigned_event(pubkey=ME, kind=5, tags=tags)) == [STORED]
    assert len(scribe.committed) - before >= 3
    assert len(tables.ids()) == 1
    tables.assert_consistent()


async def test_09_19_a_tombstone_outlives_its_deletion(scribe: Scribe, tables: Tables) -> None:
    await one_by_one(scribe, [note(1), deletion(note(1))])
    tables.rows("DELETE FROM relay_event WHERE kind = 5 RETURNING id")
    assert await scribe.write(note(1)) == [GONE]


async def test_40_6_a_deletion_that_expired_stays_in_force(scribe: Scribe, tables: Tables) -> None:
    tags = [["e", note(1)["id"]], ["expiration", str(NOW + 1)]]
    await one_by_one(scribe, [note(1), unsigned_event(pubkey=ME, kind=5, tags=tags)])
    assert tables.rows("SELECT relay_sweep_expired(%s::bigint, 10)", NOW + 2) == [(1,)]
    assert await scribe.write(note(1)) == [GONE]
    assert tables.ids() == set()


async def test_62_7_the_removal_of_many_events_goes_on_where_it_was_killed(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(*[note(number) for number in range(450)], note(1, pubkey=OTHER))
    assert await scribe.write(request()) == [STORED]
    assert tables.ids() == {note(1, pubkey=OTHER)["id"]}  # at once, while nothing is removed
    with psycopg.connect(conninfo()) as killed:
        assert killed.execute("SELECT relay_vanish_step(NULL, 100)").fetchone() == (True,)
        killed.rollback()
    for _ in range(2):
        tables.rows("SELECT relay_vanish_step(NULL, 100)")
    assert tables.rows("SELECT removed, finished_at FROM relay_vanish") == [(200, None)]
    assert await scribe.write(note(2, created_at=NOW + 1)) == [STORED]
    tables.vanish(100)
    assert tables.rows("SELECT removed, finished_at IS NULL FROM relay_vanish") == [(450, False)]
    assert tables.rows("SELECT count(*) FROM relay_vanish_pending") == [(0,)]
    assert tables.rows("SELECT count(*) FROM relay_event") == [(2,)]


async def test_86_5_an_old_request_to_vanish_does_not_bring_back_what_a_ban_removes(
    scribe: Scribe, tables: Tables
) -> None:
    await scribe.write(*[note(number) for number in range(450)])
    tables.rows(f"SELECT relay_ban_key('\\x{ME}', '', 0, 'operator', true)")
    assert tables.ids() == set()
    assert await scribe.write(request(created_at=1)) == [STORED]  # a right of banned keys, too (62-4)
    assert tables.ids() == set()
    tables.vanish(100)
    assert tables.ids() == set()
    assert tables.rows("SELECT count(*) FROM relay_event") == [(0,)]


async def test_62_7_one_entry_of_the_log_is_read_by_all(scribe: Scribe, primary: Primary, tables: Tables) -> None:
    await scribe.write(*[note(number) for number in range(120)])
    await scribe.write(request())
    batch = await primary.changes_after(119)
    assert batch is not None
    assert [type(change) for change in batch.changes] == [Removed, Vanished]
    assert scribe.committed[-1].changes[-1] == batch.changes[-1] == Vanished(121, ME, NOW)
    tables.vanish()
    assert (await primary.changes_after(121)) is None


async def test_62_2_wraps_go_with_a_recipient_and_back_dated_new_ones_stay(scribe: Scribe, tables: Tables) -> None:
    def wrap(number: int) -> Json:
        return unsigned_event(pubkey=OTHER, kind=1059, tags=[["p", ME]], content=str(number), created_at=NOW - 5)

    await scribe.write(*[wrap(number) for number in range(150)])
    await scribe.write(request())
    assert await scribe.write(wrap(1), wrap(200)) == [GONE, STORED]
    assert tables.ids() == {wrap(200)["id"]}
    tables.vanish()
    assert tables.ids() == {wrap(200)["id"]}
    assert await scribe.write(wrap(1), wrap(200)) == [GONE, WriteOutcome.DUPLICATE]


async def test_62_5_the_request_is_known_and_not_served(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(note(1))
    assert await scribe.write(request()) == [STORED]
    assert await scribe.write(request()) == [WriteOutcome.DUPLICATE]
    assert await scribe.write(request(content="older", created_at=NOW - 1)) == [STORED]
    assert tables.ids() == set()


async def test_09_22_what_a_store_holds_already_is_carried_out(scribe: Scribe, tables: Tables) -> None:
    held = [note(1), note(2), note(3, created_at=NOW + 5), deletion(note(1)), request(pubkey=OTHER)]
    held += [note(4, pubkey=OTHER), request("wss://other.example")]
    await scribe.write_entries([structs.replace(entry(event), targets=None, vanishes=False) for event in held])
    assert len(tables.ids()) == len(held)
    for _ in range(2):  # killed after the first, it begins again
        await asyncio.to_thread(_carry_out)
    kept = [note(2), note(3, created_at=NOW + 5), deletion(note(1)), request("wss://other.example")]
    assert tables.ids() == {event["id"] for event in kept}
    assert await scribe.write(note(1), note(5, pubkey=OTHER)) == [GONE, GONE]


def _carry_out() -> None:
    try:
        carry_out_stored(HERE)
    finally:
        connection.close()


async def ends(scribe: Scribe, tables: Tables, *names: str) -> None:
    """The vectors of these names: answers, and what is served at the end."""
    by_name = {sequence["name"]: sequence for sequence in SEQUENCES}
    for name in names:
        tables.clear()
        outcomes = await one_by_one(scribe, [EVENTS[one] for one in by_name[name]["order"]])
        assert [TEXTS[outcome] for outcome in outcomes] == by_name[name]["ok"], name
        assert tables.ids() == {EVENTS[one]["id"] for one in by_name[name]["served"]}, name


async def test_01_k09_no_older_version_comes_back(scribe: Scribe, tables: Tables) -> None:
    await ends(scribe, tables, "e: the newest version: the address is empty")


async def test_09_4_an_address_is_deleted_up_to_the_time(scribe: Scribe, tables: Tables) -> None:
    await ends(scribe, tables, "a: up to its time", "a: of the same second")


async def test_09_5_addresses_in_all_forms_are_deleted(scribe: Scribe, tables: Tables) -> None:
    await ends(
        scribe, tables, "a: d with colons", "a: no d tag is the empty d",
        "a: plain replaceables, with and without the last colon",
    )  # fmt: skip


async def test_09_6_an_address_is_bound_to_kind_author_and_d(scribe: Scribe, tables: Tables) -> None:
    await ends(scribe, tables, "a: bound to kind, author and d", "a: of another author")
    tables.clear()
    kept = [EVENTS[name] for name in ("v1", "list", "note", "delbad")]
    await one_by_one(scribe, kept)
    assert tables.ids() == {event["id"] for event in kept}


async def test_09_7_a_deletion_is_stored_and_sent_like_any_event(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(deletion())
    (batch,) = scribe.committed
    assert [change.event.id for change in batch.changes if isinstance(change, Added)] == [deletion()["id"]]


async def test_09_8_a_deleted_event_is_blocked_before_and_after(scribe: Scribe, tables: Tables) -> None:
    await ends(scribe, tables, "e: the deletion comes first")
    assert await scribe.write(EVENTS["note"], EVENTS["del"]) == [GONE, WriteOutcome.DUPLICATE]


async def test_09_9_a_version_up_to_the_deletion_is_blocked(scribe: Scribe) -> None:
    await scribe.write(EVENTS["dela"])
    assert await one_by_one(scribe, [EVENTS["v1"], EVENTS["v150"], EVENTS["v2"]]) == [GONE, GONE, STORED]


async def test_09_10_a_deletion_cannot_be_deleted(scribe: Scribe, tables: Tables) -> None:
    await ends(scribe, tables, "e: a deletion of a deletion has no effect", "e: the deletion of a deletion comes first")


async def test_09_11_only_those_who_may_delete_block(scribe: Scribe, tables: Tables) -> None:
    await ends(
        scribe, tables, "e: a stranger's deletion first does not block", "wrap: by its recipient, before it comes"
    )


async def test_09_12_an_address_whose_newest_was_deleted_takes_newer_ones(scribe: Scribe, tables: Tables) -> None:
    await ends(scribe, tables, "e: the newest is deleted, a newer comes after")
    assert await scribe.write(EVENTS["v1"]) == [WriteOutcome.OUTDATED]


async def test_09_13_k_tags_mean_nothing(scribe: Scribe, tables: Tables) -> None:
    await ends(scribe, tables, "e: a wrong k does not stop it")
    assert await scribe.write(EVENTS["delnone"]) == [STORED]


async def test_09_14_a_request_to_vanish_cannot_be_deleted(scribe: Scribe, tables: Tables) -> None:
    await ends(scribe, tables, "vanish: cannot be deleted", "wrap: by its one-time key")


async def test_09_15_an_older_deletion_deletes_a_newer_event(scribe: Scribe, tables: Tables) -> None:
    await ends(scribe, tables, "e: an older deletion deletes a newer event")


async def test_09_16_a_log_that_is_read_later_adds_nothing_deleted(
    scribe: Scribe, primary: Primary, tables: Tables
) -> None:
    await one_by_one(scribe, [note(1), deletion(note(1))])
    batch = await primary.changes_after(0)
    assert batch is not None
    assert [type(change) for change in batch.changes] == [Removed, Removed, Added]


async def test_59_5_a_wrap_is_deleted_by_a_recipient(scribe: Scribe, tables: Tables) -> None:
    await ends(
        scribe, tables, "wrap: by its recipient", "wrap: by another key",
        "wrap: by one of two recipients, gone for both",
    )  # fmt: skip


async def test_62_1_all_of_the_key_goes_with_its_deletions(scribe: Scribe, tables: Tables) -> None:
    await ends(
        scribe, tables, "vanish: up to its time", "vanish: ALL_RELAYS", "vanish: ours among others",
        "vanish: of another key", "vanish: takes deletions too, and what they deleted stays away",
    )  # fmt: skip


async def test_62_3_nothing_of_that_time_is_accepted_again(scribe: Scribe, tables: Tables) -> None:
    await ends(scribe, tables, "vanish: replaceables", "vanish: wraps for the key")


async def test_62_4_a_request_to_other_relays_is_a_plain_event(scribe: Scribe, tables: Tables) -> None:
    await ends(scribe, tables, "vanish: from another relay", "vanish: all_relays in small letters is another relay")


async def test_62_6_tombstones_of_the_key_stay(scribe: Scribe, tables: Tables) -> None:
    await ends(scribe, tables, "vanish: a wrap that its recipient had deleted stays away")
    later = note(1, created_at=NOW + 5)
    tables.clear()
    assert await one_by_one(scribe, [deletion(later), request(), later]) == [STORED, STORED, GONE]

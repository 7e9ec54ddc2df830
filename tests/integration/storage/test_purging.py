"""Retention in the store: hidden at once by one entry of the log, removed in small steps, and refused afterwards."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.changes.change import Purged, Removed
from relay.changes.row import id_of
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.protocol.retention import Retention, parse_rules
from relay.storage import purging
from relay.storage.primary import Primary
from relay.storage.reads import Reads
from relay.storage.write_result import WriteOutcome
from tests.events import NOW, pubkey_of, secret, unsigned_event
from tests.integration.storage.scribe import Json, Scribe, Tables, on_own_connection, replay

pytestmark = pytest.mark.django_db(transaction=True)

DAY = 86_400
HOUR_BEGIN = NOW // 3_600 * 3_600
MEMBER, OTHER = pubkey_of(secret(1)), pubkey_of(secret(2))


def rules(*texts: str) -> Retention:
    return Retention(parse_rules(texts))


async def put_in_force(*texts: str, now: int = NOW) -> int:
    return await on_own_connection(purging.put_in_force, rules(*texts), now)


async def remove() -> int:
    return await on_own_connection(purging.remove)


def aged(days: float, number: int = 0, **fields: Any) -> Json:
    return unsigned_event(content=str(number), created_at=int(NOW - days * DAY), **fields)


async def found(reads: Reads, wanted: Json | None = None) -> set[str]:
    result = await reads.query([parse_filter(wanted or {}, Limits())])
    return {id_of(text).decode() for text in result.events if isinstance(text, bytes)}


def stored_ids(tables: Tables) -> set[str]:
    """The ids of all rows, hidden or not."""
    return {event_id.hex() for (event_id,) in tables.rows("SELECT id FROM relay_event")}


def ids(*events: Json) -> set[str]:
    return {event["id"] for event in events}


async def test_one_entry_hides_what_is_older_before_any_row_is_removed(
    scribe: Scribe, tables: Tables, primary: Primary, reads: Reads
) -> None:
    old, young, other_kind = aged(31), aged(29), aged(31, kind=7)
    await scribe.write(old, young, other_kind)
    assert await put_in_force("1-2,4 30d") == 1
    assert stored_ids(tables) == ids(old, young, other_kind)
    assert await found(reads) == ids(young, other_kind)
    batch = await primary.changes_after(3)
    assert batch is not None
    assert batch.changes == [Purged(4, ((1, 2), (4, 4)), HOUR_BEGIN - 30 * DAY)]


async def test_an_addition_that_was_purged_is_read_from_the_log_as_a_removal(scribe: Scribe, primary: Primary) -> None:
    await scribe.write(aged(31))
    await put_in_force("1 30d")
    batch = await primary.changes_after(0)
    assert batch is not None
    assert [type(change) for change in batch.changes] == [Removed, Purged]


async def test_rows_and_tags_go_and_the_log_does_not_grow(scribe: Scribe, tables: Tables, reads: Reads) -> None:
    old, young = aged(31, tags=[["t", "a"]]), aged(29, tags=[["t", "a"]])
    await scribe.write(old, young)
    await put_in_force("* 30d")
    await remove()
    assert stored_ids(tables) == ids(young)
    assert len(tables.log()) == 3
    assert tables.rows("SELECT pending, removed::integer FROM relay_retention") == [(False, 1)]
    assert tables.rows("SELECT count(*)::integer FROM relay_tag_garbage") == [(1,)]
    assert await found(reads) == ids(young)


async def test_what_was_removed_or_is_too_old_is_refused(scribe: Scribe, tables: Tables) -> None:
    old = aged(31)
    await scribe.write(old)
    await put_in_force("1 30d")
    assert await scribe.write(old, aged(31, 1), aged(29)) == [
        WriteOutcome.DELETED,
        WriteOutcome.DELETED,
        WriteOutcome.STORED,
    ]
    await remove()
    assert await scribe.write(old) == [WriteOutcome.DELETED]
    assert await scribe.write(aged(31, 2)) == [WriteOutcome.DELETED]
    assert await scribe.write(aged(31, kind=7)) == [WriteOutcome.STORED]
    assert stored_ids(tables) == ids(aged(29), aged(31, kind=7))


async def test_time_moves_the_floor_and_one_entry_an_hour_is_logged(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(aged(30, 1), aged(29.9, 2))
    begin = HOUR_BEGIN
    assert [await put_in_force("1 30d", now=begin + seconds) for seconds in (0, 60, 3_599, 3_600, 3_700)] == [
        1,
        0,
        0,
        1,
        0,
    ]
    await remove()
    assert stored_ids(tables) == ids(aged(29.9, 2))


async def test_09_7_replaceable_events_and_deletions_stay(scribe: Scribe, tables: Tables) -> None:
    kept = [aged(900, kind=kind) for kind in (0, 3, 5, 10_002)] + [aged(900, kind=30_023, tags=[["d", "a"]])]
    await scribe.write(aged(900), *kept)
    await put_in_force("* 30d")
    await remove()
    assert stored_ids(tables) == ids(*kept)


async def test_a_longer_age_lets_older_events_in_again_and_they_stay(
    scribe: Scribe, tables: Tables, reads: Reads
) -> None:
    old = aged(31)
    await scribe.write(old)
    await put_in_force("1 30d")
    await remove()
    await put_in_force("1 60d")
    assert await scribe.write(old) == [WriteOutcome.STORED]
    await put_in_force("1 60d")
    await remove()
    assert await found(reads) == ids(old)


async def test_a_lifted_rule_removes_what_it_has_hidden_and_nothing_else(
    scribe: Scribe, tables: Tables, reads: Reads
) -> None:
    old = aged(31)
    await scribe.write(old, aged(29))
    await put_in_force("1 30d")
    await put_in_force()
    assert await found(reads) == ids(aged(29))
    await remove()
    await put_in_force()
    assert tables.rows("SELECT count(*)::integer FROM relay_retention") == [(0,)]
    assert await scribe.write(old) == [WriteOutcome.STORED]
    assert await found(reads) == ids(old, aged(29))


async def allow(tables: Tables, key: str, *, lifted: bool = False) -> None:
    tables.rows("SELECT relay_list_put('allowed_key', %s::text, '', 0, 'test', %s::boolean)", key, lifted)


async def test_allowed_keys_are_spared_and_each_removal_of_others_is_logged(scribe: Scribe, tables: Tables) -> None:
    await allow(tables, MEMBER)
    of_member, of_other = aged(31, pubkey=MEMBER), aged(31, pubkey=OTHER)
    await scribe.write(of_member, of_other, aged(29, pubkey=OTHER))
    assert await put_in_force("1 others 30d") == 0
    assert await scribe.write(aged(31, 1, pubkey=MEMBER), aged(31, 1, pubkey=OTHER)) == [
        WriteOutcome.STORED,
        WriteOutcome.DELETED,
    ]
    await remove()
    kept = ids(of_member, aged(31, 1, pubkey=MEMBER), aged(29, pubkey=OTHER))
    assert stored_ids(tables) == replay(tables.log()) == kept


async def test_what_a_key_stored_goes_once_it_is_taken_off_the_list(scribe: Scribe, tables: Tables) -> None:
    await allow(tables, MEMBER)
    await scribe.write(aged(31, pubkey=MEMBER))
    await put_in_force("1 others 30d")
    await remove()
    await allow(tables, MEMBER, lifted=True)
    await put_in_force("1 others 30d")
    await remove()
    assert stored_ids(tables) == set()


async def test_a_run_that_is_killed_goes_on_where_it_was(
    scribe: Scribe, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "STEP_EVENTS", 3)
    await scribe.write(*[aged(31, number, kind=1 + 6 * (number % 2)) for number in range(20)])
    await put_in_force("1 30d")
    assert await on_own_connection(purging.remove, 0.0) == 0
    tables.rows("SELECT relay_retention_step(3)")
    left = len(stored_ids(tables))
    assert 10 < left < 20
    await remove()
    assert stored_ids(tables) == ids(*[aged(31, number, kind=7) for number in range(1, 20, 2)])


async def test_two_runs_at_once_remove_each_event_once(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(*[aged(31, number) for number in range(60)], *[aged(31, number, kind=7) for number in range(60)])
    await put_in_force("1 30d", "7 others 30d")
    await asyncio.wait_for(asyncio.gather(remove(), remove(), put_in_force("1 30d", "7 others 30d")), 30)
    await remove()
    assert stored_ids(tables) == set()
    assert tables.rows("SELECT sum(removed)::integer FROM relay_retention") == [(120,)]


EVENTS = [
    aged(days, number, kind=kind, pubkey=pubkey)
    for number, (days, kind, pubkey) in enumerate(
        (days, kind, pubkey) for days in (0.5, 1.5, 2.5) for kind in (1, 7, 4, 0) for pubkey in (MEMBER, OTHER)
    )
]
RULES = st.lists(
    st.sampled_from(["* 1d", "* 2d", "1 others 1d", "1 2d", "7 forever", "7 1d", "4-4 others 2d"]),
    max_size=3,
    unique=True,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RULES)
async def test_what_is_left_is_what_the_rules_keep(scribe: Scribe, tables: Tables, texts: list[str]) -> None:
    tables.clear()
    await allow(tables, MEMBER)
    await scribe.write(*EVENTS)
    newest = [event for event in EVENTS if event["kind"] == 0 and event["created_at"] > NOW - DAY]
    made = rules(*texts)
    await put_in_force(*texts)
    await remove()
    kept = {
        event["id"]
        for event in EVENTS
        if event["kind"]
        and not made.is_outside(event["kind"], event["created_at"], event["pubkey"], {MEMBER}, HOUR_BEGIN)
    }
    assert stored_ids(tables) == kept | ids(*newest)

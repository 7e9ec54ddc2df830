"""Partitions: a store is divided while it works, without a pause; answers, removals and ids stay what they were."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, connections

from relay.changes.row import id_of
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.protocol.retention import Retention, parse_rules, removable
from relay.storage import purging
from relay.storage.database import conninfo
from relay.storage.filter_sql import Bounds, query_statement
from relay.storage.partitions import purge, steps
from relay.storage.partitions.plan import Grain, period_of, plan, release
from relay.storage.partitions.purge import purge_partitions
from relay.storage.reads import Reads
from relay.storage.write_result import WriteOutcome
from tests.events import NOW, pubkey_of, secret, unsigned_event
from tests.integration.storage.plans import Plans
from tests.integration.storage.scribe import Json, Scribe, Tables, make_store, on_own_connection
from tests.oracle import naive_query

pytestmark = pytest.mark.django_db(transaction=True)

DAY = 86_400
YEAR = 365 * DAY
PAUSE_SECONDS = 0.25
"""No reader and no writer waits longer for a change of the partitions."""


@pytest.fixture
def tables(django_db_setup: None) -> Iterator[Tables]:
    """A database of its own, to which all connections lead."""
    described = connections["default"].settings_dict
    name = described["NAME"]
    with psycopg.connect(conninfo(), autocommit=True) as server:
        server.execute("DROP DATABASE IF EXISTS relay_parts WITH (FORCE)")
        server.execute("CREATE DATABASE relay_parts TEMPLATE template0")
        connection.close()
        described["NAME"] = "relay_parts"
        try:
            made = Tables()
            make_store(made.connection)
            yield made
            made.close()
        finally:
            connection.close()
            described["NAME"] = name
            server.execute("DROP DATABASE relay_parts WITH (FORCE)")


def carry_out(grain: Grain = Grain.YEAR, now: int = NOW, most: int = 100) -> list[str]:
    """What the command does, or the first `most` steps of it."""
    done = []
    for step in plan(steps.read_state(), grain, now)[:most]:
        steps.carry_out(step)
        done.append(step.name)
    return done


async def divide(*given: Any) -> list[str]:
    return await on_own_connection(carry_out, *given)


def suffixes(tables: Tables, table: str = "relay_event") -> list[str]:
    return [suffix for (suffix,) in tables.rows("SELECT suffix FROM relay_partition_list(%s::regclass)", table)]


def events() -> list[Json]:
    """Of six years, with tags, two authors and kinds of every class."""
    return [
        unsigned_event(
            content=str(number),
            kind=[1, 1, 7, 30_023, 0, 5][number % 6],
            created_at=NOW - number * YEAR // 8,
            pubkey=pubkey_of(secret(1 + number % 2)),
            tags=[["t", "a"], ["d", str(number)]] if number % 4 else [["t", "b"]],
        )
        for number in range(48)
    ]


async def answer(reads: Reads, wanted: Json) -> list[str]:
    result = await reads.query([parse_filter(wanted, Limits())])
    return [id_of(text).decode() for text in result.events if isinstance(text, bytes)]


QUERIES: list[Json] = [
    {},
    {"limit": 5},
    {"kinds": [1], "limit": 3},
    {"kinds": [1, 7], "limit": 7},
    {"kinds": [1, 7], "limit": 9, "since": NOW - 3 * YEAR, "until": NOW - YEAR // 3},
    {"kinds": [1, 7], "limit": 9, "until": NOW - 2 * YEAR},
    {"authors": [pubkey_of(secret(1)), pubkey_of(secret(2))], "kinds": [1, 7], "#t": ["a"], "limit": 3},
    {"authors": [pubkey_of(secret(1))]},
    {"authors": [pubkey_of(secret(1)), pubkey_of(secret(2))], "kinds": [1, 7], "limit": 9},
    {"#t": ["a"], "limit": 4},
    {"#t": ["a", "b"]},
    {"#t": ["b"], "kinds": [1]},
    {"since": NOW - 2 * YEAR, "until": NOW - YEAR},
    {"authors": [pubkey_of(secret(number)) for number in range(1, 60)], "limit": 8},
]


async def assert_answers(reads: Reads, stored: list[Json]) -> None:
    for wanted in [*QUERIES, {"ids": [event["id"] for event in stored[::5]]}]:
        assert await answer(reads, wanted) == [
            event["id"] for event in naive_query(stored, [wanted], NOW, 1_000, 500)
        ], wanted


async def served(scribe: Scribe, given: list[Json]) -> list[Json]:
    """Write events; those that are served afterwards."""
    outcomes = [(await scribe.write(event))[0] for event in given]
    present = {
        event["id"]: event for event, outcome in zip(given, outcomes, strict=True) if outcome is WriteOutcome.STORED
    }
    for batch in scribe.committed:
        for change in batch.changes:
            present.pop(getattr(change, "event_id", ""), None)
    return list(present.values())


async def test_a_store_without_events_gets_the_period_of_now_and_the_next(tables: Tables) -> None:
    assert await divide() == ["constrain", "validate", "index", "switch", "add", "add"]
    assert suffixes(tables) == suffixes(tables, "relay_tag") == ["past", "20230101", "20240101", "later"]
    assert await divide() == []


async def test_what_an_index_is_for_stays_written_on_it(tables: Tables) -> None:
    for index in ("relay_event_pkey", "relay_tag_newest"):
        tables.connection.execute(f"COMMENT ON INDEX {index} IS 'for {index}'")
    await divide()
    for index in ("relay_event_pkey", "relay_tag_newest"):
        assert tables.rows("SELECT obj_description(%s::regclass, 'pg_class')", index) == [(f"for {index}",)]


async def test_events_of_a_divided_store_are_stored_once_answered_and_removed(
    scribe: Scribe, reads: Reads, tables: Tables
) -> None:
    await divide(Grain.QUARTER, NOW - 5 * YEAR)
    await divide(Grain.YEAR)
    stored = await served(scribe, events())
    assert set(await scribe.write(*stored)) == {WriteOutcome.DUPLICATE}
    await assert_answers(reads, stored)
    gone = [event for event in stored if event["kind"] == 7]
    deletion = unsigned_event(kind=5, pubkey=gone[0]["pubkey"], created_at=NOW + 1, tags=[["e", gone[0]["id"]]])
    assert await scribe.write(deletion) == [WriteOutcome.STORED]
    await assert_answers(reads, [event for event in stored if event is not gone[0]] + [deletion])
    tables.assert_consistent()


async def test_a_home_feed_of_which_the_newest_partition_has_enough_looks_into_no_other(
    scribe: Scribe, reads: Reads, tables: Tables
) -> None:
    await divide(Grain.YEAR, NOW - 5 * YEAR)
    await divide(Grain.YEAR)
    authors = [pubkey_of(secret(number)) for number in range(1, 31)]
    stored = await served(
        scribe,
        [
            unsigned_event(content=str(number), pubkey=authors[number % 30], created_at=NOW - age - 60 * number)
            for age in (0, YEAR, 3 * YEAR)
            for number in range(40)
        ],
    )
    wanted: list[Json] = [{"authors": authors, "kinds": [1], "until": NOW, "limit": limit} for limit in (5, 30, 100)]
    reads.attempts.bounds = Bounds(walks=1, recent_rows=0)
    for each in wanted:
        assert await answer(reads, each) == [event["id"] for event in naive_query(stored, [each], NOW, 1_000, 500)]

    plans = Plans()
    first, last = (
        plans.rows_by_index(query_statement([parse_filter(each, Limits())], NOW, bounds=reads.attempts.bounds))
        for each in (wanted[0], wanted[-1])
    )
    plans.close()
    assert any("20230101" in name for name in first)
    assert [name for name in first if "past" in name or "2020" in name or "2022" in name] == []
    assert any("2022" in name for name in last)


async def test_an_id_is_looked_for_in_the_newest_partition_first_and_in_none_after_the_one_that_has_it(
    scribe: Scribe, tables: Tables
) -> None:
    stored = await divided_by_years(scribe)
    newest = next(event for event in stored if event["created_at"] == NOW)
    plans = Plans()
    read = plans.rows_by_index(query_statement([parse_filter({"ids": [newest["id"]]}, Limits())], NOW))
    plans.close()
    assert sum(read.values()) >= 1
    assert [name for name in read if "past" in name or "2020" in name or "2022" in name] == []


async def test_a_store_is_divided_after_any_step_and_goes_on(scribe: Scribe, reads: Reads, tables: Tables) -> None:
    stored = await served(scribe, events()[:24])
    names = []
    while step := await divide(Grain.YEAR, NOW, 1):
        names += step
        await assert_answers(reads, stored)
        stored += await served(scribe, [unsigned_event(content=f"after {len(names)}", created_at=NOW - len(names))])
    assert names == ["constrain", "validate", "index", "switch", "add"]
    assert suffixes(tables) == ["past", "20240101", "later"]
    await assert_answers(reads, stored)
    assert set(await scribe.write(*stored)) == {WriteOutcome.DUPLICATE}
    tables.assert_consistent()


def give_up(now: int) -> list[str]:
    """What the job does with a division that was left half done."""
    given_up = release(steps.read_state(), now)
    for step in given_up:
        steps.carry_out(step)
    return [step.name for step in given_up]


@pytest.mark.parametrize("killed_between_the_tables", [True, False])
async def test_a_division_that_was_left_half_done_refuses_no_event_for_ever(
    scribe: Scribe, tables: Tables, killed_between_the_tables: bool
) -> None:
    await scribe.write(*events()[:6])
    await divide(Grain.YEAR, NOW, 3)
    ends = (await on_own_connection(steps.read_state)).closes
    assert ends is not None
    if killed_between_the_tables:
        tables.connection.execute(f"ALTER TABLE relay_tag DROP CONSTRAINT relay_tag_before_{ends}")
    assert await on_own_connection(give_up, NOW) == []
    assert await on_own_connection(give_up, ends) == ["release"]
    assert await scribe.write(unsigned_event(created_at=ends, tags=[["t", "a"]])) == [WriteOutcome.STORED]
    assert (await divide(Grain.YEAR, ends))[:3] == ["constrain", "validate", "switch"]
    tables.assert_consistent()


async def test_a_division_that_begins_anew_later_leaves_no_constraint_of_its_first_begin(
    scribe: Scribe, tables: Tables
) -> None:
    await scribe.write(*events()[:6])
    await divide(Grain.YEAR, NOW, 1)
    ends = (await on_own_connection(steps.read_state)).closes
    assert ends is not None
    tables.connection.execute(f"ALTER TABLE relay_tag DROP CONSTRAINT relay_tag_before_{ends}")
    assert "switch" in await divide(Grain.YEAR, ends)
    assert await scribe.write(unsigned_event(created_at=ends, tags=[["t", "a"]])) == [WriteOutcome.STORED]


async def test_a_store_that_gets_its_first_event_while_its_division_begins_is_divided_all_the_same(
    scribe: Scribe, tables: Tables
) -> None:
    begun, *_ = plan(await on_own_connection(steps.read_state), Grain.YEAR, NOW)
    assert await scribe.write(unsigned_event(tags=[["t", "a"]])) == [WriteOutcome.STORED]
    await on_own_connection(steps.carry_out, begun)
    with pytest.raises(IntegrityError):
        await on_own_connection(steps.carry_out, replace(begun, name="validate"))
    assert (await divide())[:4] == ["constrain", "validate", "index", "switch"]
    assert await scribe.write(unsigned_event(content="after")) == [WriteOutcome.STORED]


async def test_an_index_that_a_killed_run_left_is_built_anew(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(*events()[:6])
    await divide(Grain.YEAR, NOW, 2)
    tables.connection.execute("CREATE UNIQUE INDEX relay_event_id_time ON relay_event (id)")
    tables.connection.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'relay_event_id_time'::regclass"
    )
    assert await divide() == ["index", "switch", "add"]


async def test_what_lies_beyond_the_last_period_moves_into_its_own(
    scribe: Scribe, reads: Reads, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    await divide(Grain.YEAR)
    far = unsigned_event(created_at=NOW + 2 * YEAR, tags=[["t", "a"]])
    stored = await served(scribe, [far, *events()])
    assert tables.rows("SELECT count(*)::integer FROM relay_event_later") == [(1,)]
    (step, *_) = plan(await on_own_connection(steps.read_state), Grain.YEAR, NOW + 2 * YEAR)
    for most, is_quick in ((1, True), (0, False)):
        monkeypatch.setattr(steps, "MOST_MOVED", most)
        within = replace(step, period=replace(step.period, ends=NOW + 3 * YEAR))
        assert await on_own_connection(steps.is_quick, within) is is_quick
    assert await divide(Grain.QUARTER, NOW + YEAR) == ["add"]
    assert await divide(Grain.YEAR, NOW + 2 * YEAR) == ["add", "add"]
    assert suffixes(tables) == ["past", "20230101", "20240101", "20250101", "20250401", "20260101", "later"]
    assert tables.rows("SELECT count(*)::integer FROM relay_event_later") == [(0,)]
    assert tables.rows("SELECT count(*)::integer FROM relay_tag_later") == [(0,)]
    await assert_answers(reads, stored)


async def hide(*rules: str, now: int = NOW) -> None:
    await on_own_connection(purging.put_in_force, Retention(parse_rules(rules)), now)


def removable_before(stored: list[Json], before: int) -> list[Json]:
    return [event for event in stored if removable(event["kind"]) and event["created_at"] < before]


def assert_tags(tables: Tables) -> None:
    """Once what is noted is collected, there are the tags of the stored events and no others."""
    while tables.rows("SELECT relay_collect_tags(1000)") != [(0,)]:
        pass
    tables.assert_rows_consistent()


async def divided_by_years(scribe: Scribe) -> list[Json]:
    """Partitions of six years, and the events that are served."""
    await divide(Grain.YEAR, NOW - 5 * YEAR)
    await divide(Grain.YEAR)
    return await served(scribe, events())


async def test_a_partition_that_retention_hides_is_dropped_but_for_what_is_always_kept(
    scribe: Scribe, reads: Reads, tables: Tables
) -> None:
    stored = await divided_by_years(scribe)
    rows = tables.rows("SELECT count(*)::integer FROM relay_event")[0][0]
    await hide("* 730d")
    hidden = removable_before(stored, NOW - 2 * YEAR)
    whole = removable_before(stored, period_of(Grain.YEAR, NOW - 2 * YEAR).begins)
    assert await on_own_connection(purge_partitions) == len(whole)
    assert 0 < len(whole) < len(hidden)
    assert tables.rows("SELECT count(*)::integer FROM relay_event") == [(rows - len(whole),)]
    assert tables.rows("SELECT removed::integer FROM relay_unlogged_removals") == [(len(whole),)]
    left = [event for event in stored if event not in hidden]
    await assert_answers(reads, left)
    assert await on_own_connection(purge_partitions) == 0
    await on_own_connection(purging.remove)
    await assert_answers(reads, left)
    assert tables.ids() == {event["id"] for event in left}
    assert_tags(tables)


async def test_rules_that_spare_a_kind_drop_no_partition(scribe: Scribe, tables: Tables) -> None:
    await divided_by_years(scribe)
    await hide("* 730d", "1984 forever")
    assert await on_own_connection(purge_partitions) == 0


async def test_what_changes_while_a_partition_is_copied_is_not_lost(
    scribe: Scribe, reads: Reads, tables: Tables
) -> None:
    stored = await divided_by_years(scribe)
    await hide("* 730d")
    tables.rows("SELECT relay_partition_copy('past')")
    old = [event for event in stored if event["kind"] == 30_023 and event["created_at"] < NOW - 5 * YEAR]
    late = unsigned_event(kind=30_023, created_at=NOW - 6 * YEAR, tags=[["d", "late"], ["t", "a"]])
    deletion = unsigned_event(kind=5, pubkey=old[0]["pubkey"], tags=[["e", old[0]["id"]]])
    assert await scribe.write(late, deletion) == [WriteOutcome.STORED] * 2
    assert tables.rows("SELECT relay_partition_catch_up('past') > 0, relay_partition_swap('past')") == [(True, True)]
    expected = [event for event in [*stored, late, deletion] if event is not old[0]]
    kept = [event for event in expected if event not in removable_before(expected, NOW - 2 * YEAR)]
    await assert_answers(reads, kept)
    await on_own_connection(purge_partitions)
    await on_own_connection(purging.remove)
    await assert_answers(reads, kept)
    assert_tags(tables)


def after_the_first_catch_up(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """What happens once a copy has caught up, before the tables are locked."""
    caught_up, left = purge._caught_up, [happens]

    def wrapped(suffix: str) -> bool:
        is_caught_up = caught_up(suffix)
        if left:
            left.pop()()
        return is_caught_up

    monkeypatch.setattr(purge, "_caught_up", wrapped)


async def test_a_copy_takes_its_place_with_nothing_that_a_query_waiting_for_the_lock_would_not_see(
    scribe: Scribe, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    await divided_by_years(scribe)
    await hide("* 730d")
    late = unsigned_event(kind=30_023, created_at=NOW - 6 * YEAR, tags=[["d", "late"], ["t", "a"]])
    loop = asyncio.get_running_loop()
    after_the_first_catch_up(monkeypatch, lambda: asyncio.run_coroutine_threadsafe(scribe.write(late), loop).result(10))
    assert await on_own_connection(purge_partitions)
    assert late["id"] in tables.ids()
    # The transaction that has renamed the table has written none of its rows.
    assert tables.rows(
        "SELECT count(*)::integer FROM relay_event_past AS e JOIN pg_class AS c ON c.oid = e.tableoid "
        "WHERE c.xmin = e.xmin"
    ) == [(0,)]
    assert_tags(tables)


async def test_an_event_that_a_lifted_rule_lets_in_again_while_its_partition_is_copied_is_not_lost(
    scribe: Scribe, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    await divided_by_years(scribe)
    await hide("* 730d")
    again = unsigned_event(content="again", created_at=NOW - 6 * YEAR, tags=[["t", "a"]])
    assert await scribe.write(again) == [WriteOutcome.DELETED]
    loop = asyncio.get_running_loop()
    outcomes: list[WriteOutcome] = []

    def lifted() -> None:
        purging.remove()
        purging.put_in_force(Retention(parse_rules(["* 3650d"])), NOW)
        outcomes.extend(asyncio.run_coroutine_threadsafe(scribe.write(again), loop).result(10))

    after_the_first_catch_up(monkeypatch, lifted)
    assert await on_own_connection(purge_partitions) == 0
    assert outcomes == [WriteOutcome.STORED]
    assert again["id"] in tables.ids()


async def test_a_partition_that_another_run_copies_is_not_waited_for(scribe: Scribe, tables: Tables) -> None:
    await divided_by_years(scribe)
    await hide("* 730d")
    with psycopg.connect(conninfo(), autocommit=False) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [purge.COPYING])
        assert await asyncio.wait_for(on_own_connection(purge_partitions), 10) == 0
    assert await on_own_connection(purge_partitions) > 0


async def test_a_copy_that_a_request_to_vanish_has_overtaken_takes_no_place(scribe: Scribe, tables: Tables) -> None:
    await divided_by_years(scribe)
    await hide("* 730d")
    tables.rows("SELECT relay_partition_copy('past')")
    request = unsigned_event(kind=62, tags=[["relay", "ALL_RELAYS"]])
    await scribe.write(request)
    assert tables.rows("SELECT relay_partition_swap('past')") == [(False,)]
    tables.vanish()
    await on_own_connection(purge_partitions)
    assert request["pubkey"] not in {pubkey.hex() for (pubkey,) in tables.rows("SELECT pubkey FROM relay_event")}


def command(*options: str) -> str:
    out = StringIO()
    call_command("partitions", *options, stdout=out)
    return out.getvalue()


async def test_the_command_prints_the_steps_does_them_and_shows_what_there_is(scribe: Scribe, tables: Tables) -> None:
    assert "one table" in await on_own_connection(command, "--status")
    planned = await on_own_connection(command, "--dry-run")
    assert planned.splitlines()[0].startswith("1 of 6: let no event after ")
    assert tables.rows("SELECT relay_is_partitioned()") == [(False,)]
    assert len((await on_own_connection(command)).splitlines()) == 6
    assert [line.split()[0] for line in (await on_own_connection(command, "--status")).splitlines()] == [
        f"relay_event_{suffix}" for suffix in suffixes(tables)
    ]
    assert await on_own_connection(command) == "nothing to do\n"


class Clients:
    """A writer and a reader that never stop, and how long they waited at most."""

    def __init__(self, scribe: Scribe, reads: Reads) -> None:
        self.longest = {"write": 0.0, "read": 0.0}
        self.written: list[Json] = []
        self._scribe, self._reads = scribe, reads
        self._running: list[asyncio.Task[None]] = []
        self._is_over = False

    async def __aenter__(self) -> "Clients":
        self._running = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._is_over = True
        await asyncio.wait_for(asyncio.gather(*self._running), 10)

    async def _write(self) -> None:
        while not self._is_over:
            event = unsigned_event(content=f"live {len(self.written)}", tags=[["t", "live"]])
            begun = time.monotonic()
            assert await self._scribe.write(event) == [WriteOutcome.STORED]
            self.longest["write"] = max(self.longest["write"], time.monotonic() - begun)
            self.written.append(event)

    async def _read(self) -> None:
        while not self._is_over:
            begun = time.monotonic()
            await answer(self._reads, {"#t": ["live"], "limit": 3})
            self.longest["read"] = max(self.longest["read"], time.monotonic() - begun)


async def test_no_writer_and_no_reader_pauses_while_partitions_are_dropped(
    scribe: Scribe, reads: Reads, tables: Tables
) -> None:
    await divided_by_years(scribe)
    await hide("* 730d")
    async with Clients(scribe, reads) as clients:
        assert await asyncio.wait_for(on_own_connection(purge_partitions), 60)
    assert clients.written
    assert max(clients.longest.values()) < PAUSE_SECONDS, clients.longest


async def test_no_writer_and_no_reader_pauses_while_a_store_is_divided(
    scribe: Scribe, reads: Reads, tables: Tables
) -> None:
    await scribe.write(*events())
    with psycopg.connect(conninfo(), autocommit=False) as slow:
        slow.execute("SELECT count(*) FROM relay_event")  # a transaction that reads for a second, as a report does
        async with Clients(scribe, reads) as clients:
            ending = asyncio.get_running_loop().call_later(1.0, slow.rollback)
            assert (await asyncio.wait_for(divide(), 60))[-2:] == ["switch", "add"]
            ending.cancel()
    assert clients.written
    assert max(clients.longest.values()) < PAUSE_SECONDS, clients.longest
    tables.assert_consistent()

"""The writer against a real PostgreSQL: outcomes, replaceable events, odd values, bad neighbours."""

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

import relay.storage.write_queue
import relay.storage.writer
from relay.changes.change import Added, Removed
from relay.protocol.errors import Failed
from relay.storage.batch import Entry, columns
from relay.storage.reads import Reads
from relay.storage.write_result import WriteOutcome
from tests.events import NOW, pubkey_of, secret, unsigned_event
from tests.integration.storage.scribe import Json, Scribe, Tables, entry

STORED, DUPLICATE, OUTDATED, FAILED = (
    WriteOutcome.STORED,
    WriteOutcome.DUPLICATE,
    WriteOutcome.OUTDATED,
    WriteOutcome.FAILED,
)


pytestmark = pytest.mark.django_db


def note(number: int, **fields: Any) -> Json:
    return unsigned_event(**{"content": str(number), **fields})


def profile(number: int, age: int = 0, **fields: Any) -> Json:
    """A version of one replaceable address."""
    return note(number, created_at=NOW - age, **{"kind": 0, **fields})


def article(number: int, age: int = 0, tags: Any = (("d", "a"),)) -> Json:
    return note(number, kind=30_023, created_at=NOW - age, tags=tags)


def tied(count: int, **fields: Any) -> list[Json]:
    """Versions of one address in one second, lowest id first."""
    return sorted((profile(number, **fields) for number in range(count)), key=lambda event: str(event["id"]))


def changes(scribe: Scribe) -> list[str]:
    """What the writer said it committed: +id or -id, checked to be numbered without a gap."""
    said = [change for batch in scribe.committed for change in batch.changes]
    assert [change.seq for change in said] == list(range(1, len(said) + 1))
    return [
        f"+{c.event.id}" if isinstance(c, Added) else f"-{c.event_id}" for c in said if isinstance(c, Added | Removed)
    ]


async def test_a_new_event_is_stored_and_a_known_one_is_a_duplicate(scribe: Scribe, tables: Tables) -> None:
    assert await scribe.write(note(1)) == [STORED]
    assert await scribe.write(note(1)) == [DUPLICATE]
    assert tables.ids() == {note(1)["id"]}


async def test_events_of_one_batch_are_numbered_as_they_arrived(scribe: Scribe, tables: Tables) -> None:
    """A live subscription gets a note before the answer to it, though rows are written in the order of their ids."""
    arrived = sorted((note(number) for number in range(20)), key=lambda event: str(event["id"]), reverse=True)
    await scribe.write(*arrived)
    assert changes(scribe) == [f"+{event['id']}" for event in arrived]
    assert [event_id for _, _, event_id in tables.log()] == [event["id"] for event in arrived]


async def test_a_duplicate_makes_no_change(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(note(1))
    await scribe.write(note(1), note(2), note(1))
    tables.assert_consistent()
    assert len(tables.log()) == 2


async def test_doubles_in_one_batch_are_stored_once(scribe: Scribe) -> None:
    assert await scribe.write(note(1), note(1), note(2), note(1)) == [STORED, DUPLICATE, STORED, DUPLICATE]


async def test_positions_follow_each_other_without_a_gap_over_all_batches(scribe: Scribe, tables: Tables) -> None:
    for start in range(0, 40, 10):
        await scribe.write(*[note(number) for number in range(start, start + 13)])
    tables.assert_consistent()
    assert [(f"{op}{event_id}") for _, op, event_id in tables.log()] == changes(scribe)


async def test_01_k02_a_newer_version_replaces_the_older_one(scribe: Scribe, tables: Tables) -> None:
    assert await scribe.write(profile(1, age=5)) == await scribe.write(profile(2)) == [STORED]
    assert tables.ids() == {profile(2)["id"]}


async def test_01_k07_an_older_version_is_outdated_and_leaves_no_trace(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(profile(1))
    assert await scribe.write(profile(2, age=5)) == [OUTDATED]
    assert (tables.ids(), len(tables.log())) == ({profile(1)["id"]}, 1)


@pytest.mark.parametrize("kind", [0, 3, 10_000, 19_999])
async def test_01_k02_replaceable_kinds_have_one_version_whatever_their_d(
    scribe: Scribe, tables: Tables, kind: int
) -> None:
    await scribe.write(profile(1, age=1, kind=kind, tags=[["d", "a"]]))
    await scribe.write(profile(2, kind=kind, tags=[["d", "b"]]))
    assert len(tables.ids()) == 1


@pytest.mark.parametrize("kind", [1, 2, 4, 41, 45, 999, 1_000, 9_999, 40_000, 65_535])
async def test_01_k01_regular_kinds_are_all_kept(scribe: Scribe, tables: Tables, kind: int) -> None:
    assert await scribe.write(profile(1, age=1, kind=kind), profile(2, kind=kind)) == [STORED, STORED]
    assert len(tables.ids()) == 2


async def test_01_k03_addresses_differ_by_author_kind_and_d(scribe: Scribe, tables: Tables) -> None:
    other = pubkey_of(secret(2))
    different = [article(1), article(2, tags=[["d", "b"]]), article(3) | {"id": "3" * 64, "pubkey": other}]
    assert await scribe.write(*different) == [STORED] * 3
    assert len(tables.ids()) == 3


async def test_01_k05_a_missing_and_an_empty_d_are_one_address(scribe: Scribe, tables: Tables) -> None:
    forms: list[Any] = [(), [["d"]], [["d", ""]], [["d", "", "x"], ["d", "y"]]]
    for number, tags in enumerate(forms):
        assert await scribe.write(article(number, age=9 - number, tags=tags)) == [STORED]
    assert len(tables.ids()) == 1


async def test_01_k05_the_first_d_tag_is_the_address(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(article(1, age=1, tags=[["d", "a"], ["d", "b"]]))
    await scribe.write(article(2, tags=[["d", "a"], ["d", "c"]]))
    assert tables.ids() == {article(2, tags=[["d", "a"], ["d", "c"]])["id"]}


@pytest.mark.parametrize("d", ["x" * 199, "x" * 3_000, "é" * 2_000, "\u0000", "a" * 64, "A" * 64, "\\x00"])
async def test_any_d_is_an_address(scribe: Scribe, tables: Tables, d: str) -> None:
    await scribe.write(article(1, age=1, tags=[["d", d]]), article(2, tags=[["d", d + "!"]]))
    assert await scribe.write(article(3, tags=[["d", d]])) == [STORED]
    assert len(tables.ids()) == 2


@pytest.mark.parametrize("lower_first", [True, False])
async def test_01_k06_in_a_tie_the_lowest_id_is_kept(scribe: Scribe, tables: Tables, lower_first: bool) -> None:
    low, high = tied(2)
    for event in [low, high] if lower_first else [high, low]:
        await scribe.write(event)
    assert tables.ids() == {low["id"]}


async def test_versions_of_one_address_in_one_batch_count_in_the_order_in_which_they_came(
    scribe: Scribe, tables: Tables
) -> None:
    versions = [profile(1, age=3), profile(2, age=1), profile(3, age=2), profile(4)]
    assert await scribe.write(*versions) == [STORED, STORED, OUTDATED, STORED]
    assert tables.ids() == {versions[3]["id"]}
    tables.assert_consistent()


async def test_a_removal_is_numbered_before_its_replacement(scribe: Scribe, tables: Tables) -> None:
    old, new = profile(1, age=1), profile(2)
    await scribe.write(old)
    await scribe.write(new)
    assert changes(scribe) == [f"+{old['id']}", f"-{old['id']}", f"+{new['id']}"]
    assert [op for _, op, _ in tables.log()] == ["+", "-", "+"]


async def test_a_replacement_among_others_is_numbered_as_the_database_numbers_it(
    scribe: Scribe, tables: Tables
) -> None:
    await scribe.write(profile(1, age=1), article(1, age=1), note(1))
    await scribe.write(note(2), profile(2), note(1), article(2), profile(3, age=9, kind=3), note(3))
    tables.assert_consistent()
    assert [f"{op}{event_id}" for _, op, event_id in tables.log()] == changes(scribe)


async def test_a_replaced_version_leaves_no_tags(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(profile(1, age=1, tags=[["t", "a"], ["t", "b"], ["p", "c" * 64]]))
    await scribe.write(profile(2, tags=[["t", "b"]]))
    assert tables.tags() == [(b"t\x00b", profile(2, tags=[["t", "b"]])["id"])]


async def test_an_outdated_version_leaves_no_tags(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(profile(1))
    await scribe.write(profile(2, age=1, tags=[["t", "a"]]))
    assert tables.tags() == []


async def test_a_version_that_was_replaced_does_not_come_back(scribe: Scribe, tables: Tables) -> None:
    old, new = profile(1, age=1), profile(2)
    await scribe.write(old)
    await scribe.write(new)
    assert await scribe.write(old) == [OUTDATED]
    assert tables.ids() == {new["id"]}


ODD: dict[str, dict[str, Any]] = {
    "NUL": {"content": "a\u0000b", "tags": [["t", "\u0000"], ["d", "a\u0000"], ["t", "\u0000" * 300]]},
    "control characters": {"content": "".join(map(chr, range(33))) + "\x7f\x80\u2028", "tags": [["t", "\x01\x1f"]]},
    "quotes and backslashes": {"content": '"\\\\u0000 \\x00 \\', "tags": [["t", '"\\'], ["r", "{,}"]]},
    "beyond the first plane": {"content": "😀\U0010ffff\ufdd1", "tags": [["t", "😀"]]},
    "no tags": {"tags": []},
    "empty tags": {"tags": [[], [""], ["t"], ["", "x"], ["t", ""]]},
    "long values": {"tags": [["t", "x" * n] for n in (199, 200, 201, 2_704, 10_000)] + [["t", "é" * 4_000]]},
    "values that look like keys": {"tags": [["t", "ab" * 32], ["t", "AB" * 32], ["t", "\\x01"], ["t", "\x01"]]},
    "doubled tags": {"tags": [["t", "a"]] * 3 + [["t", "a", "b"]]},
    "no time": {"created_at": 0},
    "the last second": {"created_at": 2**63 - 1},
    "the last expiration": {"tags": [["expiration", str(2**63 - 1)]]},
    "a large content": {"content": "x" * 131_072},
}


@pytest.mark.parametrize("fields", ODD.values(), ids=ODD.keys())
async def test_a_stored_event_is_returned_byte_by_byte(
    scribe: Scribe, reads: Reads, tables: Tables, fields: dict[str, Any]
) -> None:
    event = unsigned_event(**fields)
    assert await scribe.write(event, note(99)) == [STORED, STORED]
    stored = entry(event).event
    _, found = await reads.fetch("SELECT 0::bigint, json FROM relay_event WHERE id = $1", (bytes.fromhex(event["id"]),))
    assert [row[1] for row in found] == [stored.json]
    assert msgspec.json.decode(stored.json) == event
    assert len(tables.tags()) == len(stored.tag_keys)


async def test_02_1_a_list_of_5000_people_is_stored_and_replaced(scribe: Scribe, tables: Tables) -> None:
    people = [["p", f"{number:064x}"] for number in range(5_000)]
    await scribe.write(profile(1, age=1, kind=3, tags=people), note(1))
    assert len(tables.tags()) == 5_000
    assert await scribe.write(profile(2, kind=3, tags=people[:2])) == [STORED]
    assert len(tables.tags()) == 2


def impossible(number: int) -> Entry:
    """An entry that PostgreSQL refuses: its kind does not fit the column."""
    return Entry(msgspec.structs.replace(entry(note(number)).event, kind=2**40), None)


def broken(number: int) -> Entry:
    """An entry that cannot even be made into columns: a lone surrogate has no UTF-8."""
    event = entry(note(number)).event
    return Entry(msgspec.structs.replace(event, tag_keys=frozenset(["t\ud800"])), None)


def truncated(number: int) -> Entry:
    """An entry whose text is no UTF-8."""
    return Entry(msgspec.structs.replace(entry(note(number)).event, json=b"\xff"), None)


@pytest.mark.parametrize("bad", [impossible, broken, truncated])
async def test_one_bad_event_does_not_fail_the_others(scribe: Scribe, tables: Tables, bad: Any) -> None:
    outcomes = await scribe.write_entries([entry(note(n)) for n in range(9)] + [bad(10)])
    assert outcomes == [STORED] * 9 + [FAILED]
    tables.assert_consistent()


async def test_the_writer_goes_on_after_a_bad_event(scribe: Scribe) -> None:
    assert await scribe.write_entries([impossible(1)]) == [FAILED]
    assert await scribe.write(note(2)) == [STORED]


async def test_one_event_that_meets_a_limit_of_the_server_does_not_fail_the_others(
    scribe: Scribe, tables: Tables
) -> None:
    """A value too long for an index is an OperationalError to psycopg, though only this event is to blame."""
    with tables.connection.transaction():
        tables.connection.execute("CREATE INDEX too_small ON relay_event (json)")
    try:
        big = note(1, content="".join(chr(0x4E00 + number * 7 % 20_000) for number in range(8_000)))
        assert await scribe.write(note(2), big, note(3)) == [STORED, FAILED, STORED]
    finally:
        tables.connection.execute("DROP INDEX too_small")


async def test_a_batch_that_cannot_be_serialised_is_tried_again(scribe: Scribe, tables: Tables) -> None:
    tables.connection.execute(
        "CREATE SEQUENCE attempts; "
        "CREATE FUNCTION refuse_twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('attempts') <= 2 THEN "
        "RAISE EXCEPTION 'not now' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$; "
        "CREATE TRIGGER refusing AFTER INSERT ON relay_event EXECUTE FUNCTION refuse_twice()"
    )
    try:
        assert await scribe.write(note(1), note(2)) == [STORED, STORED]
    finally:
        tables.connection.execute(
            "DROP TRIGGER refusing ON relay_event; DROP FUNCTION refuse_twice; DROP SEQUENCE attempts"
        )


async def test_large_events_are_written_in_short_batches(scribe: Scribe) -> None:
    events = [note(number, content=f"{number}" + "x" * 100_000) for number in range(60)]
    assert await scribe.write(*events, note(99)) == [STORED] * 61
    sizes = [sum(len(c.event.json) for c in batch.changes if isinstance(c, Added)) for batch in scribe.committed]
    assert max(sizes) < relay.storage.write_queue.MAX_BATCH_BYTES + 101_000


async def test_events_of_one_batch_have_a_bounded_number_of_tags(scribe: Scribe) -> None:
    tags = [["t", str(number)] for number in range(900)]
    assert await scribe.write(*[note(number, tags=tags) for number in range(12)]) == [STORED] * 12
    assert [len(batch.changes) for batch in scribe.committed] == [5, 5, 2]


async def test_a_note_overtakes_the_long_lists_that_wait_before_it(scribe: Scribe) -> None:
    people = [["p", f"{person:064x}"] for person in range(3_000)]
    lists = [note(number, tags=people) for number in range(5)]
    assert await scribe.write(*lists, note(99)) == [STORED] * 6
    ids = [[c.event.id for c in batch.changes if isinstance(c, Added)] for batch in scribe.committed]
    assert ids == [[event["id"]] for event in (lists[0], note(99), *lists[1:])]


async def test_an_event_with_more_tags_than_a_batch_is_written_all_the_same(scribe: Scribe) -> None:
    people = [["p", f"{person:064x}"] for person in range(relay.storage.write_queue.MAX_BATCH_TAGS + 1)]
    assert await scribe.write(note(1), note(2, tags=people), note(3)) == [STORED] * 3


async def test_a_full_queue_refuses_at_once(tables: Tables) -> None:
    scribe = Scribe(queue_events=2)
    first = [scribe.submit(entry(note(number))) for number in range(2)]
    with pytest.raises(Failed, match="too busy"):
        scribe.submit(entry(note(3)))
    scribe.writer.start()
    assert await asyncio.gather(*first) == [STORED, STORED]
    await scribe.writer.stop(5)


async def test_a_stop_writes_what_is_queued(tables: Tables) -> None:
    scribe = Scribe(batch_events=3)
    scribe.writer.start()
    results = [scribe.submit(entry(note(number))) for number in range(10)]
    await scribe.writer.stop(10)
    assert [future.result() for future in results] == [STORED] * 10


async def test_a_stop_without_time_fails_the_queued_events(tables: Tables) -> None:
    scribe = Scribe(batch_events=1)
    scribe.writer.start()
    with tables.connection.transaction():
        tables.connection.execute("SELECT relay_order_lock()")
        results = [scribe.submit(entry(note(number))) for number in range(3)]
        while len(scribe.writer) == 3:
            await asyncio.sleep(0.01)
        await asyncio.wait_for(scribe.writer.stop(0.2), 5)
        assert [future.done() and future.result() for future in results] == [FAILED] * 3


async def test_a_write_beyond_its_time_fails_and_the_next_one_is_stored(tables: Tables) -> None:
    scribe = Scribe(write_seconds=0.5)
    scribe.writer.start()
    with tables.connection.transaction():
        tables.connection.execute("SELECT relay_order_lock()")
        assert await scribe.write(note(1)) == [FAILED]
    assert await scribe.write(note(2)) == [STORED]
    await scribe.writer.stop(5)
    tables.assert_consistent()


async def test_a_writer_whose_connection_was_ended_finds_another(scribe: Scribe, tables: Tables) -> None:
    await scribe.write(note(1))
    tables.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'relay write %%'")
    outcomes = await scribe.write(note(2)) + await scribe.write(note(3))
    assert outcomes[1] is STORED
    tables.assert_consistent()


async def test_an_event_is_committed_when_it_is_reported_as_stored(tables: Tables) -> None:
    """01-E20: seen from another connection, in the very turn in which the waiter is called."""
    scribe, found = Scribe(), []
    scribe.writer.submit(entry(note(1)), lambda written, _: found.append(written.event.id in tables.ids()))
    scribe.writer.start()
    await scribe.writer.stop(5)
    assert found == [True]


async def test_a_listener_that_fails_does_not_end_the_writing(tables: Tables) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("a listener that fails")

    scribe = Scribe()
    scribe.writer = relay.storage.writer.Writer(refuse, batch_events=5, queue_events=10, write_seconds=5)
    scribe.writer.start()
    assert await scribe.write(note(1)) == [STORED]
    assert await scribe.write(note(2)) == [STORED]
    await scribe.writer.stop(5)


def test_columns_of_a_batch_count_bytes_not_characters() -> None:
    given = columns([entry(note(1, content="é"))], "")
    assert int(given[6].strip("{}")) == len(given[5])


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_a_server_with_another_isolation_level_changes_nothing(tables: Tables, level: str) -> None:
    """What decides under the lock must see the last commit, also one that came while the writer waited."""
    name = tables.rows("SELECT current_database()")[0][0]
    tables.connection.execute(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{level}'")
    scribe = Scribe()
    try:
        with tables.connection.transaction():
            tables.connection.execute("SELECT relay_order_lock()")
            tables.connection.execute(
                "INSERT INTO relay_change (seq, created_at, op, event_id) VALUES (1, 0, '-', '\\x00')"
            )
            scribe.writer.start()
            results = scribe.submit(entry(note(1)))
            while not tables.rows("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                await asyncio.sleep(0.01)
        assert await asyncio.wait_for(results, 5) is STORED
        assert [seq for seq, _, _ in tables.log()] == [1, 2]
    finally:
        tables.connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_isolation')
        await scribe.writer.stop(5)


async def test_the_log_says_from_which_region_each_event_comes(scribe: Scribe, tables: Tables) -> None:
    events = [note(number) for number in range(6)]
    origins = [0, 7, 7, 0, 3, 0]
    entries = [replace(entry(event), origin=origin) for event, origin in zip(events, origins, strict=True)]
    assert await scribe.write_entries(entries) == [STORED] * 6
    logged = {event_id.hex(): origin for event_id, origin in tables.rows("SELECT event_id, origin FROM relay_change")}
    assert logged == {event["id"]: origin for event, origin in zip(events, origins, strict=True)}

"""A store of the first version becomes one of this version: nothing is lost, the order goes on."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from relay.storage.batch import WRITE, columns
from relay.storage.schema import MIGRATIONS, migration_0010
from tests.events import NOW, unsigned_event
from tests.integration.storage.scribe import entry, migrate
from tests.integration.storage.servers import Connection, Machine, machines

OLD_FUNCTIONS = """
CREATE FUNCTION relay_current_epoch() RETURNS bigint LANGUAGE sql AS 'SELECT epoch FROM relay_epoch';
CREATE FUNCTION relay_forget(gone bytea[]) RETURNS void LANGUAGE sql AS 'DELETE FROM relay_event WHERE id = ANY (gone)';
CREATE FUNCTION relay_position() RETURNS bigint LANGUAGE sql AS 'SELECT max(seq) FROM relay_change';
"""
"""Some that are no more, and one that has another body."""


BROKEN_OFF = """
CREATE INDEX relay_tag_newest_kind ON relay_tag (key);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'relay_tag_newest_kind'::regclass;
"""
"""What a CREATE INDEX CONCURRENTLY leaves that did not end."""


PARTITIONED_TAGS = """
CREATE SCHEMA apart;
SET search_path = apart;
SET statement_timeout = '20s';
CREATE TABLE relay_tag (key text, event_id bytea, created_at bigint, kind integer) PARTITION BY RANGE (created_at);
CREATE TABLE relay_tag_past PARTITION OF relay_tag FOR VALUES FROM (MINVALUE) TO (1000);
CREATE TABLE relay_tag_later PARTITION OF relay_tag FOR VALUES FROM (1000) TO (MAXVALUE);
CREATE INDEX relay_tag_newest ON relay_tag (key, created_at DESC, event_id);
CREATE INDEX made_before ON relay_tag_past (key, created_at DESC, event_id) INCLUDE (kind);
CREATE INDEX another ON relay_tag_past (kind);
UPDATE pg_index SET indisvalid = false WHERE indexrelid IN ('made_before'::regclass, 'another'::regclass);
"""
"""Tags of two partitions, in a schema of their own. The new index of one was broken off, and so was another index."""

TAG_INDEX = (
    "SELECT pg_get_indexdef(i.indexrelid), i.indisvalid, to_regclass('relay_tag_newest_kind') "
    "FROM pg_index AS i WHERE i.indexrelid = 'relay_tag_newest'::regclass"
)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with machines() as made:
        yield made.primary()


@pytest.fixture
def apart(machine: Machine, old: Connection) -> Iterator[Connection]:
    """A connection to the schema of PARTITIONED_TAGS."""
    with machine.connect() as connection:
        connection.execute(PARTITIONED_TAGS.encode())
        yield connection
        connection.execute("DROP SCHEMA apart CASCADE")


@pytest.fixture(scope="module")
def old(machine: Machine) -> Iterator[Connection]:
    """The first version, with a log of three partitions that holds two stored events and one that is gone."""
    with machine.connect() as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        migrate(connection, 1, 1)
        connection.execute(OLD_FUNCTIONS.encode())
        connection.execute("INSERT INTO relay_epoch (epoch, timeline) VALUES (3, '00000001')")
        for part in (4, 5):
            bounds = f"FROM ({part}000000) TO ({part + 1}000000)"
            connection.execute(
                f"CREATE TABLE relay_change_{part} PARTITION OF relay_change FOR VALUES {bounds}".encode()
            )
        for number in (1, 2):
            connection.execute(
                "INSERT INTO relay_event (id, pubkey, created_at, kind, tag_keys, json) "
                "VALUES (sha256(%s::text::bytea), '\\x00', %s, 1, '{}', '{}')",
                [str(number), NOW + number],
            )
        connection.execute(
            "INSERT INTO relay_change VALUES (4999998, '+', sha256('1')), (4999999, '+', sha256('gone')), "
            "(5000000, '-', sha256('gone')), (5000001, '+', sha256('2'))"
        )
        migrate(connection, 2, 9)
        connection.execute(BROKEN_OFF.encode())
        migrate(connection, 10, len(MIGRATIONS))
        yield connection


def rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode()).fetchall()


def test_the_log_is_whole_and_knows_the_time_of_what_is_stored(old: Connection) -> None:
    assert rows(
        old, "SELECT seq, op::text, created_at, origin FROM relay_change WHERE seq <= 5000001 ORDER BY seq"
    ) == [
        (4_999_998, "+", NOW + 1, 0),
        (4_999_999, "+", 0, 0),
        (5_000_000, "-", 0, 0),
        (5_000_001, "+", NOW + 2, 0),
    ]


def test_the_epoch_goes_on_and_the_store_has_an_identity(old: Connection) -> None:
    ((identity, epoch),) = rows(old, "SELECT identity, epoch FROM relay_current_store()")
    assert (len(identity), epoch) == (16, 3)


def test_the_order_goes_on(old: Connection) -> None:
    row = psycopg.RawCursor(old).execute(WRITE, columns([entry(unsigned_event(content="next"))], "a")).fetchone()
    assert row is not None
    assert row[0] == 5_000_002


def test_a_partition_is_made_in_advance_and_nothing_is_left_of_the_first_version(old: Connection) -> None:
    tables = {name for (name,) in rows(old, "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')")}
    assert {"relay_change_4", "relay_change_5", "relay_change_6"} <= tables
    assert not {"relay_epoch", "relay_change_before"} & tables
    functions = {name for (name,) in rows(old, "SELECT proname FROM pg_proc WHERE proname LIKE 'relay%'")}
    assert not {"relay_current_epoch", "relay_forget"} & functions


def test_the_index_of_tags_has_the_kind_though_building_it_was_broken_off_before(old: Connection) -> None:
    ((definition, is_valid, left),) = rows(old, TAG_INDEX)
    assert definition.endswith("(key, created_at DESC, event_id) INCLUDE (kind)")
    assert is_valid
    assert left is None


def test_an_index_of_a_partition_that_was_broken_off_is_made_anew_and_no_other_one(apart: Connection) -> None:
    for _ in range(2):  # it may be run again
        for text in migration_0010():
            apart.execute(text.encode())
        ((definition, is_valid, left),) = rows(apart, TAG_INDEX)
        assert (definition.endswith("INCLUDE (kind)"), is_valid, left) == (True, True, None)
        invalid = rows(apart, "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
        assert invalid == [("another",)]


def test_an_index_of_tags_that_is_not_valid_does_not_take_the_place_of_the_old_one(apart: Connection) -> None:
    _, build, swap = migration_0010()
    apart.execute(build.encode())
    with pytest.raises(psycopg.errors.RaiseException, match="not valid"):
        apart.execute(swap.encode())
    ((definition, is_valid, _),) = rows(apart, TAG_INDEX)
    assert (definition.endswith("event_id)"), is_valid) == (True, True)


def test_the_index_of_tags_waits_for_a_long_export_without_stopping_others_and_says_what_to_do(
    apart: Connection, old: Connection
) -> None:
    clear, build, swap = migration_0010()
    apart.execute(clear.encode())
    apart.execute(build.encode())
    with old.transaction():
        old.execute("LOCK TABLE apart.relay_tag IN ACCESS SHARE MODE")
        with pytest.raises(psycopg.errors.RaiseException, match=r"end the export.* and migrate again"):
            apart.execute(swap.replace("interval '10 minutes'", "interval '0.1 seconds'").encode())
    apart.execute(swap.encode())
    ((definition, _, _),) = rows(apart, TAG_INDEX)
    assert definition.endswith("INCLUDE (kind)")

"""What an operator sees of tables and indexes, on a real server."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from relay.storage.table_figures import StoreFigures, store_figures
from tests.events import NOW, pubkey_of, secret, unsigned_event
from tests.integration.storage.bulk import copy_in
from tests.integration.storage.scribe import Tables

pytestmark = pytest.mark.django_db

EVENTS = 12_000


@pytest.fixture(scope="module")
def store(database: Tables) -> Tables:
    """12,000 events with a tag each."""
    database.clear()
    keys = [pubkey_of(secret(number)) for number in range(1, 51)]
    copy_in(
        database,
        [
            unsigned_event(pubkey=keys[number % 50], kind=1, created_at=NOW - number, tags=[["t", str(number)]])
            for number in range(EVENTS)
        ],
    )
    database.connection.execute("REINDEX TABLE relay_event")
    database.connection.execute("ANALYZE relay_event")
    return database


@pytest.fixture
def figures(store: Tables) -> StoreFigures:
    return store_figures()


def test_every_index_of_the_relay_says_which_question_it_serves(figures: StoreFigures) -> None:
    """A new index needs a COMMENT ON INDEX in its migration (see relay/migrations/sql/0007_tables.sql)."""
    silent = [index.name for index in figures.indexes if index.table.startswith("relay_") and not index.question]

    assert silent == []


def test_tables_have_rows_sizes_and_the_time_of_their_last_vacuum(figures: StoreFigures) -> None:
    events = next(table for table in figures.tables if table.name == "relay_event")

    assert events.rows == EVENTS
    assert events.bytes > EVENTS * 200
    assert events.total_bytes > events.bytes + events.index_bytes
    assert events.vacuumed_at is not None
    assert figures.bytes >= events.total_bytes


def test_a_fresh_index_is_estimated_to_be_nearly_full(figures: StoreFigures) -> None:
    fresh = {index.name: index.free_percent for index in figures.indexes if index.name.startswith("relay_event_author")}

    assert len(fresh) == 2
    assert {name: free for name, free in fresh.items() if free is None or free > 10} == {}


def test_partitions_of_the_log_are_one_table_and_one_index(figures: StoreFigures) -> None:
    tables = [table for table in figures.tables if table.name.startswith("relay_change")]
    indexes = [index for index in figures.indexes if index.table.startswith("relay_change")]

    assert [table.name for table in tables] == ["relay_change"]
    assert [index.name for index in indexes] == ["relay_change_pkey"]
    assert tables[0].partitions == indexes[0].partitions > 0


def test_tables_with_many_writes_are_vacuumed_before_a_fiftieth_is_dead(store: Tables) -> None:
    names = ["relay_event", "relay_tag", "relay_head"]
    options = dict(store.rows("SELECT relname, reloptions FROM pg_class WHERE relname = ANY (%s)", names))

    assert all("autovacuum_vacuum_scale_factor=0.02" in chosen for chosen in options.values())
    assert "fillfactor=80" in options["relay_head"]
    assert "autovacuum_vacuum_insert_scale_factor=0" in options["relay_tag"]


def test_texts_are_compressed_with_lz4_where_the_server_has_it(store: Tables) -> None:
    ((has_lz4, chosen),) = store.rows(
        "SELECT 'lz4' = ANY (s.enumvals), a.attcompression::text FROM pg_settings AS s, pg_attribute AS a "
        "WHERE s.name = 'default_toast_compression' AND a.attrelid = 'relay_event'::regclass AND a.attname = 'json'"
    )

    assert chosen == ("l" if has_lz4 else "")


def test_the_command_shows_tables_indexes_and_what_they_are_for(store: Tables) -> None:
    out = StringIO()

    call_command("indexes", stdout=out)

    assert "relay_event_author_kind" in out.getvalue()
    assert "filters with authors" in out.getvalue()


def test_the_command_writes_json_for_programs(store: Tables) -> None:
    out = StringIO()

    call_command("indexes", "--json", stdout=out)

    found = json.loads(out.getvalue())
    assert {"tables", "indexes", "bytes", "shared_buffers", "since"} <= set(found)
    assert {index["name"] for index in found["indexes"]} >= {"relay_event_pkey", "relay_tag_newest"}

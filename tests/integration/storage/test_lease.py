"""The lease of a single instance: who holds it, who ends it, and for how long acknowledgements are held then."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from relay.storage.batch import WRITE, columns
from relay.storage.database import conninfo
from tests.events import unsigned_event
from tests.integration.storage.scribe import Tables, entry

pytestmark = pytest.mark.django_db

HOLD_MS = 350
number = iter(range(10**9))


@pytest.fixture
def tables(database: Tables) -> Iterator[Tables]:
    """No instance holds the lease or has for long, and none is registered."""
    database.clear()
    reset(database)
    yield database
    reset(database)


def reset(tables: Tables) -> None:
    tables.connection.execute("DELETE FROM relay_instance; UPDATE relay_lease SET instance = NULL")
    pass_time(tables)


def pass_time(tables: Tables, seconds: float = 1.0) -> None:
    """Later, as far as the lease knows."""
    ended_at = "clock_timestamp() - %s * interval '1 second'"
    tables.connection.execute(f"UPDATE relay_lease SET ended_at = {ended_at}".encode(), [seconds])


def take(tables: Tables, me: str) -> bool:
    return bool(tables.rows("SELECT relay_lease_take(%s)", me)[0][0])


def forget(tables: Tables, instance: str) -> None:
    """It was not heard of for a minute."""
    tables.connection.execute(
        "UPDATE relay_instance SET seen = clock_timestamp() - interval '1 minute' WHERE name = %s", [instance]
    )


def holder(tables: Tables) -> str | None:
    return str(found) if (found := tables.rows("SELECT instance FROM relay_lease")[0][0]) else None


def write(connection: "psycopg.Connection[Any]", me: str, content: str = "") -> int:
    """Write one event as the instance `me`; for how long (ms) its OK is to be held."""
    event = unsigned_event(content=content or f"lease {next(number)}")
    row = psycopg.RawCursor(connection).execute(WRITE, columns([entry(event)], me)).fetchone()
    assert row is not None
    return int(row[-1])


@contextmanager
def another_connection() -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(conninfo(), autocommit=True) as connection:
        yield connection


def test_the_only_instance_takes_the_lease_and_keeps_it(tables: Tables) -> None:
    assert [take(tables, "a"), take(tables, "a"), holder(tables)] == [True, True, "a"]


def test_a_second_instance_ends_the_lease_and_none_holds_it_while_both_run(tables: Tables) -> None:
    take(tables, "a")
    assert [take(tables, "b"), holder(tables), take(tables, "a"), holder(tables)] == [False, None, False, None]


def test_the_last_running_instance_takes_the_lease(tables: Tables) -> None:
    take(tables, "a")
    take(tables, "b")
    forget(tables, "a")
    assert [take(tables, "b"), holder(tables)] == [True, "b"]


def test_the_lease_of_an_instance_that_died_is_taken_over_and_counts_as_ended_now(tables: Tables) -> None:
    take(tables, "a")
    forget(tables, "a")
    assert take(tables, "b")
    assert write(tables.connection, "b") == HOLD_MS


def test_the_holder_of_the_lease_delays_no_acknowledgement(tables: Tables) -> None:
    take(tables, "a")
    assert write(tables.connection, "a") == 0


def test_without_a_lease_no_acknowledgement_is_held(tables: Tables) -> None:
    assert [write(tables.connection, "a"), write(tables.connection, "b")] == [0, 0]


def test_a_writer_beside_the_holder_ends_the_lease_and_holds_its_acknowledgement(tables: Tables) -> None:
    take(tables, "a")
    assert [write(tables.connection, "b"), holder(tables)] == [HOLD_MS, None]


def test_a_duplicate_found_beside_the_holder_is_held_as_well(tables: Tables) -> None:
    take(tables, "a")
    write(tables.connection, "a", "known")
    assert [write(tables.connection, "b", "known"), holder(tables)] == [HOLD_MS, None]


def test_the_write_after_the_one_that_ended_a_lease_is_held_as_long(tables: Tables) -> None:
    """When the end became visible is not known before: the commit may have taken long."""
    take(tables, "a")
    assert [write(tables.connection, "b"), write(tables.connection, "a")] == [HOLD_MS, HOLD_MS]


def test_later_writes_are_held_until_no_process_relies_on_the_lease(tables: Tables) -> None:
    take(tables, "a")
    write(tables.connection, "b")
    write(tables.connection, "b")
    pass_time(tables, 0.1)
    assert 0 < write(tables.connection, "c") <= HOLD_MS - 100
    pass_time(tables)
    assert write(tables.connection, "c") == 0


def test_a_lease_taken_just_after_another_one_ended_does_not_shorten_the_hold(tables: Tables) -> None:
    take(tables, "a")
    write(tables.connection, "b")
    write(tables.connection, "b")
    forget(tables, "a")
    assert take(tables, "b")
    pass_time(tables, 0.1)
    assert 0 < write(tables.connection, "b") <= HOLD_MS - 100


def test_a_clock_that_was_set_back_holds_no_acknowledgement_for_ever(tables: Tables) -> None:
    tables.connection.execute("UPDATE relay_lease SET ended_at = clock_timestamp() + interval '1 hour'")
    assert write(tables.connection, "a") == HOLD_MS
    pass_time(tables)
    assert write(tables.connection, "a") == 0


def test_a_lease_begins_after_the_transactions_that_did_not_see_it(tables: Tables) -> None:
    with another_connection() as other:
        with other.transaction():
            assert write(other, "b") == 0
            tables.connection.execute("SET lock_timeout = '200ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                take(tables, "a")
            tables.connection.execute("RESET lock_timeout")
        assert take(tables, "a")
        assert write(other, "b") == HOLD_MS

"""The name of the store on real servers that are restarted, copied, restored, cloned and promoted."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from relay.storage.store import CACHE_SECONDS, CachedStore, Store
from tests.integration.storage.scribe import make_store
from tests.integration.storage.servers import Machine, Machines, machines


@pytest.fixture(scope="module")
def made() -> Iterator[Machines]:
    with machines() as found:
        yield found


@pytest.fixture(scope="module")
def shared(made: Machines) -> Machine:
    return made.primary()


@pytest.fixture
def primary(shared: Machine) -> Machine:
    """A new store on a server that all tests of this file share."""
    if shared.server.process is None or shared.server.process.poll() is not None:
        shared.start()
    with shared.connect() as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        make_store(connection)
    return shared


def test_a_store_has_a_name_that_stays(primary: Machine) -> None:
    first = primary.store()
    assert primary.store() == first
    assert first.epoch == 1
    assert [len(first.identity), len(first.generation)] == [16, 16]
    assert first.name == f"{first.identity}.1.{first.generation}"


def test_two_stores_have_two_identities(primary: Machine) -> None:
    first = primary.store()
    with primary.connect() as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        make_store(connection)
    assert primary.store().identity != first.identity


def test_a_restarted_server_is_another_generation(primary: Machine) -> None:
    before = primary.store()
    primary.stop()
    primary.start()
    after = primary.store()
    assert (after.identity, after.epoch) == (before.identity, before.epoch)
    assert after.generation != before.generation
    assert primary.store() == after


def test_a_cold_copy_of_the_data_folder_shares_no_generation_with_the_original(
    made: Machines, primary: Machine
) -> None:
    before = primary.store()
    primary.stop()
    copy = made.copy_of(primary.server.data)
    primary.start()
    copy.start()
    names = [primary.store(), copy.store()]
    assert {(store.identity, store.epoch) for store in names} == {(before.identity, 1)}
    assert len({before.generation, *(store.generation for store in names)}) == 3
    copy.stop()


def test_a_copy_made_from_a_template_is_another_store(primary: Machine) -> None:
    before = primary.store()
    with primary.connect("postgres") as connection:
        connection.execute("DROP DATABASE IF EXISTS copy")
        connection.execute("CREATE DATABASE copy TEMPLATE relay")
    copy = primary.store("copy")
    assert copy.identity != before.identity
    assert copy.epoch == 1
    assert primary.store() == before


def test_a_dump_restored_into_another_database_is_another_store(primary: Machine) -> None:
    before = primary.store()
    dump = primary.run("pg_dump", "-d", "relay")
    with primary.connect("postgres") as connection:
        connection.execute("DROP DATABASE IF EXISTS copy")
        connection.execute("CREATE DATABASE copy")
    restore(primary, "copy", dump)
    assert primary.store("copy").identity != before.identity
    assert primary.store() == before


def test_a_dump_restored_in_place_is_another_store_because_its_numbers_went_back(primary: Machine) -> None:
    before = primary.store()
    dump = primary.run("pg_dump", "-d", "relay")
    with primary.connect() as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    restore(primary, "relay", dump)
    assert primary.store().identity != before.identity


def restore(machine: Machine, database: str, dump: bytes) -> None:
    """As psql does: statements, and the rows of each COPY after it."""
    path = machine.folder.path / "dump.sql"
    path.write_bytes(dump)
    path.chmod(0o644)
    machine.run("psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", str(path))


def test_a_promoted_standby_begins_a_new_epoch_and_ends_the_lease(made: Machines, primary: Machine) -> None:
    before = primary.store()
    with primary.connect() as connection:
        connection.execute("SELECT relay_lease_take('a')")
    standby = made.keep(primary.standby(made.place()))
    standby.start_as_standby()
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        standby.store()
    with standby.connect() as connection:
        assert connection.execute("SELECT pg_promote()").fetchone() == (True,)
    after = standby.store()
    assert (after.identity, after.epoch) == (before.identity, before.epoch + 1)
    assert after.generation != before.generation
    with standby.connect() as connection:
        assert connection.execute("SELECT instance, ended_at = 'infinity' FROM relay_lease").fetchall() == [
            (None, True)
        ]
    assert standby.store() == after
    assert primary.store() == before
    standby.stop()


def test_concurrent_callers_after_a_promotion_agree(primary: Machine) -> None:
    before = primary.store()
    with primary.connect() as connection:
        connection.execute("UPDATE relay_store SET timeline = '000000FF'")
    names: list[Store] = []
    asking = [threading.Thread(target=lambda: names.append(primary.store())) for _ in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert [store.epoch for store in names] == [before.epoch + 1] * 8
    assert len(set(names)) == 1


def test_an_unprivileged_role_that_may_not_ask_for_the_cluster_still_has_a_store(primary: Machine) -> None:
    with primary.connect() as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        connection.execute("DROP ROLE IF EXISTS plain")
        connection.execute("CREATE ROLE plain")
        connection.execute("GRANT ALL ON SCHEMA public TO plain; GRANT ALL ON ALL TABLES IN SCHEMA public TO plain")
        connection.execute("SET ROLE plain")
        assert connection.execute("SELECT relay_system_identifier()").fetchone() == (None,)
        connection.execute("UPDATE relay_store SET started_at = now()")
        assert connection.execute("SELECT epoch FROM relay_current_store()").fetchone() == (1,)
        connection.execute("RESET ROLE")
        connection.execute(
            "GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC; DROP OWNED BY plain; DROP ROLE plain"
        )


def test_the_store_is_cached_for_some_seconds() -> None:
    now, asked = [0.0], []

    def ask() -> Store:
        asked.append(now[0])
        return Store("a", "b", len(asked))

    cached = CachedStore(ask, lambda: now[0])
    assert [cached().epoch, cached().epoch] == [1, 1]
    now[0] += CACHE_SECONDS + 0.1
    assert cached().epoch == 2

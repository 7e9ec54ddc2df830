"""PostgreSQL of a cluster without Patroni: promoted by hand, and the old primary made a replica."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relayproject.runtime.cluster import database, members, probes, promotion, signals
from relayproject.runtime.cluster.options import Options
from relayproject.runtime.cluster.promotion import promote
from relayproject.runtime.cluster.site import Site
from relayproject.runtime.cluster.starter import Starter
from relayproject.runtime.cluster.state import load, new_state
from relayproject.runtime.cluster.stop import stop
from relayproject.runtime.errors import StartupError
from relayproject.runtime.run_as import choose_run_as
from tests.acceptance.cluster_command import free_base_port


class Servers:
    """A primary and two replicas, without anything else of a cluster."""

    def __init__(self, folder: Path) -> None:
        self.state = new_state(Options(base_port=free_base_port()))
        self.site = Site(folder, self.state.options, "key", self.state.password, choose_run_as())
        self.names = self.site.postgres_names

    def up(self) -> None:
        database.start_plain(Starter(self.site, self.state, lambda _: None))

    def promote(self, name: str | None = None, *, force: bool = False) -> str:
        return promote(self.site, self.state, name, lambda _: None, force=force)

    def kill(self, name: str) -> None:
        signals.kill(self.site, self.state, [name])

    def pause(self, name: str) -> None:
        signals.pause(self.site, self.state, [name])

    def resume(self, name: str) -> None:
        signals.resume(self.site, self.state, [name])

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """On the primary, with commits that a standby confirms."""
        (primary,) = probes.primaries(self.site)
        with self.site.connect(primary) as connection:
            connection.execute("SET synchronous_commit = on")
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def roles(self) -> dict[str, str]:
        parts = [part for part in members.shown(self.site) if part.name in self.names]
        return {part.name: probes.ask(self.site, part).role for part in parts}

    def leave(self) -> None:
        for name in self.names:
            with contextlib.suppress(StartupError):
                self.kill(name)
        stop(self.site, self.state, self.names, lambda _: None)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory.mktemp("servers"))
    try:
        made.up()
        yield made
    finally:
        made.leave()


def test_a_promotion_loses_nothing_and_the_old_primary_comes_back_as_a_replica(servers: Servers) -> None:
    servers.execute("CREATE TABLE kept AS SELECT generate_series(1, 100) AS number")
    with pytest.raises(StartupError, match="postgres-1 is the primary"):
        servers.promote("postgres-1")

    servers.pause("postgres-3")
    with pytest.raises(StartupError, match="postgres-3 does not answer"):
        servers.promote("postgres-2")  # postgres-3 alone may have confirmed the last commit
    servers.resume("postgres-3")
    assert servers.roles()["postgres-1"] == "primary", "a promotion that is refused ends nothing"

    servers.kill("postgres-1")
    new = servers.promote()
    servers.execute("INSERT INTO kept VALUES (101)")
    servers.up()
    roles = servers.roles()
    assert (roles[new], roles["postgres-1"]) == ("primary", "replica")
    assert servers.execute("SELECT count(*) FROM kept") == [(101,)]

    assert servers.promote("postgres-1") == "postgres-1", "in order, while the primary runs"
    assert servers.execute("SELECT count(*) FROM kept") == [(101,)]


def test_a_promotion_that_was_interrupted_is_ended_by_the_next_start(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old primary must not come back as one: the other may have accepted writes meanwhile."""
    old = servers.state.primary

    def interrupted(_site: Site, _name: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(promotion, "complete", interrupted)
        with pytest.raises(KeyboardInterrupt):
            servers.promote(force=True)  # the test before has left one replica down
    noted = load(servers.site.folder)
    assert noted is not None
    assert noted.primary != old
    servers.up()
    roles = servers.roles()
    assert (roles[noted.primary], roles[old]) == ("primary", "replica")

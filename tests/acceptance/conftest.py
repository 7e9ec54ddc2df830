"""Whole relays for the acceptance tests.

`relay`: one for the session, two workers, default settings. `start_relay`: starts further ones with other settings,
without the job queue unless a test asks for it: each of its processes costs a second of CPU.
`copy_of_migrated`, `prepared_folder`: data folders that have been migrated, for a quick start. `servers`: a PostgreSQL
and a Valkey that tests may take away.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tests.acceptance.faults.outages import OwnServers
from tests.acceptance.relay_process import RelayProcess, running

ALL_ROLES = ""
"""Of `start_relay`: web, job queue, schedule and migrations, as `serve` runs them by default."""

WITHOUT_FSYNC = "fsync = off\n"
"""What a killed server has written is with the kernel; only a machine that loses power needs more."""

CopyOfMigrated = Callable[[str], Path]


class StartRelay(Protocol):
    """Start a relay and wait until it is ready; it is stopped at the end of the test."""

    def __call__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        workers: int = 1,
        data_dir: Path | None = None,
        roles: str = "web",
        ready: bool = True,
    ) -> RelayProcess: ...


@pytest.fixture(scope="session")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """A relay with two workers for the whole session. Tests leave it running, and its settings as they are."""
    with running(RelayProcess(tmp_path_factory.mktemp("relay") / "var", workers=2)) as process:
        yield process


@pytest.fixture(scope="session")
def migrated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder after `serve --roles migrate`; copy it, never start on it."""
    process = RelayProcess(tmp_path_factory.mktemp("migrated") / "var", roles="migrate")
    process.launch()
    try:
        assert process.wait_ended(60.0) == 0, process.messages()
    finally:
        process.destroy()
    with (process.data_dir / "postgres" / "postgresql.conf").open("a") as file:
        file.write(WITHOUT_FSYNC)
    return process.data_dir


@pytest.fixture(scope="session")
def copy_of_migrated(migrated_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> CopyOfMigrated:
    """Makes data folders, each in a folder of the given name, that are migrated already."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(migrated_folder, tmp_path_factory.mktemp(name) / "var", symlinks=True))

    return copy


@pytest.fixture
def prepared_folder(migrated_folder: Path, tmp_path: Path) -> Path:
    """A data folder of the test's own that is migrated already."""
    return Path(shutil.copytree(migrated_folder, tmp_path / "var", symlinks=True))


@pytest.fixture(scope="session")
def migrated_cluster(migrated_folder: Path) -> Path:
    """The data folder of a PostgreSQL that is stopped, with a store that holds nothing; copy it, never start on it."""
    return migrated_folder / "postgres"


@pytest.fixture(scope="session")
def servers(migrated_cluster: Path) -> Iterator[OwnServers]:
    """The tests' own PostgreSQL, migrated, and Valkey. Tests leave them running."""
    own = OwnServers(migrated_cluster)
    try:
        own.start()
        yield own
    finally:
        own.stop()


@pytest.fixture
def start_relay(request: pytest.FixtureRequest) -> Iterator[StartRelay]:
    """Starts relays with settings of the test, each on a migrated folder unless `data_dir` is given."""
    started: list[RelayProcess] = []

    def start(
        settings: Mapping[str, str] | None = None,
        *,
        workers: int = 1,
        data_dir: Path | None = None,
        roles: str = "web",
        ready: bool = True,
    ) -> RelayProcess:
        folder = data_dir or request.getfixturevalue("prepared_folder")
        process = RelayProcess(folder, workers=workers, roles=roles, settings=settings)
        started.append(process)
        process.launch()
        if ready:
            process.wait_ready()
        return process

    yield start
    for process in started:
        process.destroy()

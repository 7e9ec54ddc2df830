"""Whole relays for the acceptance tests.

`relay`: one for the session, two workers, default settings. `start_relay`: starts further ones with other settings.
`prepared_folder`: a data folder that has been migrated, for a quick start.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tests.acceptance.relay_process import RelayProcess


class StartRelay(Protocol):
    """Start a relay and wait until it is ready; it is stopped at the end of the test."""

    def __call__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        workers: int = 1,
        data_dir: Path | None = None,
        roles: str = "",
        ready: bool = True,
    ) -> RelayProcess: ...


@pytest.fixture(scope="session")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """A relay with two workers for the whole session. Tests leave it running, and its settings as they are."""
    process = RelayProcess(tmp_path_factory.mktemp("relay") / "var", workers=2)
    try:
        yield process.start()
    finally:
        process.destroy()


@pytest.fixture(scope="session")
def migrated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder after `serve --roles migrate`; copy it, never start on it."""
    process = RelayProcess(tmp_path_factory.mktemp("migrated") / "var", roles="migrate")
    process.launch()
    try:
        assert process.wait_ended(60.0) == 0, process.messages()
    finally:
        process.destroy()
    return process.data_dir


@pytest.fixture
def prepared_folder(migrated_folder: Path, tmp_path: Path) -> Path:
    """A data folder of the test's own that is migrated already."""
    return Path(shutil.copytree(migrated_folder, tmp_path / "var", symlinks=True))


@pytest.fixture
def start_relay(request: pytest.FixtureRequest) -> Iterator[StartRelay]:
    """Starts relays with settings of the test, each on a migrated folder unless `data_dir` is given."""
    started: list[RelayProcess] = []

    def start(
        settings: Mapping[str, str] | None = None,
        *,
        workers: int = 1,
        data_dir: Path | None = None,
        roles: str = "",
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

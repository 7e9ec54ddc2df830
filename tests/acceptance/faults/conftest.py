"""Relays for the tests of faults, each started once for the tests that can share it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.faults.outages import OwnServers
from tests.acceptance.relay_process import RelayProcess


@pytest.fixture(scope="package")
def servers() -> Iterator[OwnServers]:
    """The tests' own PostgreSQL and Valkey."""
    own = OwnServers()
    try:
        own.start()
        yield own
    finally:
        own.stop()


@pytest.fixture(scope="package")
def outage_relay(servers: OwnServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """Two workers on servers that the tests can take away; short budgets, so that outages can be short."""
    settings = {**servers.settings, "RELAY_QUERY_SECONDS": "1", "RELAY_WRITE_SECONDS": "1.5"}
    relay = RelayProcess(tmp_path_factory.mktemp("outage") / "var", workers=2, roles="web,migrate", settings=settings)
    try:
        yield relay.start()
    finally:
        relay.destroy()


@pytest.fixture
def fault_folder(migrated_folder: Path, tmp_path: Path) -> Path:
    """A migrated data folder of the test's own."""
    return Path(shutil.copytree(migrated_folder, tmp_path / "var", symlinks=True))

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
    # Without caches: for the third of a second in which the shared cache may be trusted, memory goes on to answer.
    budgets = {"RELAY_QUERY_SECONDS": "1", "RELAY_WRITE_SECONDS": "1.5", "RELAY_CACHE_LAYERS": "none"}
    settings = {**servers.settings, **budgets}
    relay = RelayProcess(tmp_path_factory.mktemp("outage") / "var", workers=2, roles="web,migrate", settings=settings)
    try:
        yield relay.start()
    finally:
        relay.destroy()


@pytest.fixture(scope="package")
def sturdy_relay(migrated_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """Two workers and embedded servers under the supervisor; outboxes of a mebibyte, a ring of four."""
    folder = Path(shutil.copytree(migrated_folder, tmp_path_factory.mktemp("sturdy") / "var", symlinks=True))
    settings = {"RELAY_MAX_OUTBOX_BYTES": str(2**20), "RELAY_RING_BYTES": str(2**22)}
    relay = RelayProcess(folder, workers=2, roles="web", settings=settings)
    try:
        yield relay.start()
    finally:
        relay.destroy()


@pytest.fixture(scope="package")
def small_relay(migrated_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """One worker for eight clients, three of an address, no address exempt, with a ping twice a second."""
    folder = Path(shutil.copytree(migrated_folder, tmp_path_factory.mktemp("small") / "var", symlinks=True))
    settings = {
        "RELAY_MAX_CONNECTIONS": "8",
        "RELAY_MAX_CONNECTIONS_PER_IP": "3",
        "RELAY_IP_LIMIT_EXEMPT": "10.0.0.0/8",
        "RELAY_PING_SECONDS": "0.5",
    }
    relay = RelayProcess(folder, workers=1, roles="web", settings=settings)
    try:
        yield relay.start()
    finally:
        relay.destroy()

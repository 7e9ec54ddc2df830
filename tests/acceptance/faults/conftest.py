"""Relays for the tests of faults, each started once for the tests that can share it."""

from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import CopyOfMigrated
from tests.acceptance.faults.outages import OwnServers
from tests.acceptance.relay_process import RelayProcess, running


@pytest.fixture(scope="package")
def outage_relay(servers: OwnServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """Two workers on servers that the tests can take away; short budgets, so that outages can be short."""
    # Without caches: for the third of a second in which the shared cache may be trusted, memory goes on to answer.
    budgets = {"RELAY_QUERY_SECONDS": "1", "RELAY_WRITE_SECONDS": "1.5", "RELAY_CACHE_LAYERS": "none"}
    settings = {**servers.settings, **budgets}
    folder = tmp_path_factory.mktemp("outage") / "var"
    with running(RelayProcess(folder, workers=2, roles="web", settings=settings)) as relay:
        yield relay


@pytest.fixture(scope="package")
def sturdy_relay(copy_of_migrated: CopyOfMigrated) -> Iterator[RelayProcess]:
    """Two workers and embedded servers under the supervisor; outboxes of a mebibyte, a ring of four."""
    settings = {"RELAY_MAX_OUTBOX_BYTES": str(2**20), "RELAY_RING_BYTES": str(2**22)}
    with running(RelayProcess(copy_of_migrated("sturdy"), workers=2, roles="web", settings=settings)) as relay:
        yield relay


@pytest.fixture(scope="package")
def small_relay(copy_of_migrated: CopyOfMigrated) -> Iterator[RelayProcess]:
    """One worker for eight clients, three of an address, no address exempt, with a ping twice a second."""
    settings = {
        "RELAY_MAX_CONNECTIONS": "8",
        "RELAY_MAX_CONNECTIONS_PER_IP": "3",
        "RELAY_IP_LIMIT_EXEMPT": "10.0.0.0/8",
        "RELAY_PING_SECONDS": "0.5",
    }
    with running(RelayProcess(copy_of_migrated("small"), roles="web", settings=settings)) as relay:
        yield relay

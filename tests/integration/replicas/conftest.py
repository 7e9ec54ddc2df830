"""Two standbys of the session's server, and relays that ask them."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from relay.conf import ReplicaAddress
from relay.services.runtime import Relay
from relay.storage.replica import Replica
from relay.storage.replicas import Replicas
from relayproject.databases import REPLICA_ENGINE
from relayproject.runtime.postgres import PORT
from tests.integration.order.conftest import StartRelay, start_relay
from tests.integration.storage.conftest import database, primary, reads
from tests.integration.storage.scribe import Tables
from tests.integration.storage.unregistered import tables
from tests.replica_server import Standby, standbys

__all__ = ["database", "primary", "reads", "start_relay", "tables"]

ADDRESSES = (ReplicaAddress("replica_1"), ReplicaAddress("replica_2"))


@pytest.fixture(scope="package")
def both(database: Tables) -> Iterator[list[Standby]]:
    with tempfile.TemporaryDirectory(prefix="relay-replicas-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with standbys(Path(folder), len(ADDRESSES)) as made:
            for address, standby in zip(ADDRESSES, made, strict=True):
                connections.settings[address.alias] = described(standby)
            yield made
            for address in ADDRESSES:
                del connections.settings[address.alias]


def described(standby: Standby) -> dict[str, Any]:
    """An entry of Django's DATABASES."""
    primary = connections["default"].settings_dict
    return {**primary, "ENGINE": REPLICA_ENGINE, "HOST": str(standby.server.sockets), "PORT": str(PORT)}


@pytest.fixture
def replicas(both: list[Standby], tables: Tables) -> Iterator[list[Standby]]:
    """Both standbys, which have replayed that the tables were emptied."""
    for standby in both:
        if not standby.is_alive():  # a test that failed has left it so
            standby.start()
        standby.catch_up()
    yield both
    for standby in both:
        standby.resume()


class Started:
    """A relay that asks replicas, and who answered."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay

    @property
    def found(self) -> Replicas:
        assert self.relay.reads.replicas is not None
        return self.relay.reads.replicas

    def answered(self) -> dict[str, int]:
        """Queries by server so far."""
        return dict(self.relay.reads.answered)

    async def until_up(self, up: list[bool], seconds: float = 15.0) -> None:
        """Wait until the replicas are used, or not, in the order of their numbers."""
        async with asyncio.timeout(seconds):
            while not all(_is(each, wanted) for each, wanted in zip(self.found.all, up, strict=True)):
                await asyncio.sleep(0.01)


def _is(replica: Replica, up: bool) -> bool:
    return replica.up and replica.lanes.quick.connected > 0 if up else not replica.up


@pytest.fixture
def start_with_replicas(start_relay: StartRelay, replicas: list[Standby]) -> StartRelay:
    async def start(**settings: Any) -> Started:
        started = Started(await start_relay(**{"replicas": ADDRESSES, **settings}))
        await started.until_up([True] * len(started.found.all))
        return started

    return start

"""Routing with the regions of a real database: what a worker copies, and what `manage.py route` explains."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import DjangoDbBlocker, Settings

from relay.services import process
from replication.geo import routing as module
from replication.geo.choice import Health
from replication.geo.install import begin
from replication.geo.regions import read_regions
from replication.geo.routing import Routing
from replication.models import PeerHealth, Region
from tests.integration.storage.conftest import database, tables  # noqa: F401
from tests.integration.storage.scribe import Tables
from tests.mmdb import record, write_mmdb

LIMIT_SECONDS = 15
IN_OSAKA = "81.2.69.142"


def found_regions() -> None:
    """Frankfurt, which is this one; Tokyo, heard of just now; Virginia, never heard of; one not enabled."""
    Region.objects.create(name="frankfurt", is_local=True, latitude=50.1, longitude=8.7)
    tokyo = Region.objects.create(name="tokyo", latitude=35.7, longitude=139.7, relay_urls=["wss://nrt.example.com"])
    Region.objects.create(name="virginia", latitude=39.0, longitude=-77.5, relay_urls=["wss://iad.example.com"])
    Region.objects.create(name="gone", latitude=34.7, longitude=135.5, enabled=False)
    PeerHealth.objects.create(peer=tokyo, last_contact_at=datetime.now(UTC), ready=True, connections=30, capacity=100)


@pytest.fixture
def regions(db: None) -> None:
    """In the transaction of the test."""
    found_regions()


@pytest.fixture
def committed_regions(database: Tables, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:  # noqa: F811
    """Where other connections see them."""
    with django_db_blocker.unblock():
        found_regions()
        yield
        Region.objects.all().delete()
        connection.close()


@pytest.fixture
def geoip(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """A database of addresses that has one network."""
    file = write_mmdb(tmp_path / "city.mmdb", {"81.2.69.0/24": record(34.7, 135.5, "Osaka", "JP")})
    settings.RELAY_GEOIP_DATABASE, settings.RELAY_DATA_DIR = (str(file),), tmp_path
    module.routing.cache_clear()
    yield file
    module.routing.cache_clear()


def test_enabled_regions_are_read_with_what_they_said_last(regions: None) -> None:
    now = datetime.now(UTC).timestamp()
    found = {region.name: region for region in read_regions(frozenset())}
    assert list(found) == ["frankfurt", "tokyo", "virginia"]
    assert found["frankfurt"].is_local
    assert (found["tokyo"].connections, found["tokyo"].capacity) == (30, 100)
    assert {name: region.health(now) for name, region in found.items()} == {
        "frankfurt": Health.OK,
        "tokyo": Health.OK,
        "virginia": Health.DOWN,
    }


def test_a_region_that_is_not_heard_of_any_more_gets_no_clients(regions: None) -> None:
    PeerHealth.objects.update(last_contact_at=datetime.now(UTC) - timedelta(minutes=5))
    (tokyo,) = [region for region in read_regions(frozenset()) if region.name == "tokyo"]
    assert tokyo.health(datetime.now(UTC).timestamp()) is Health.SILENT


@pytest.fixture
async def worker(
    committed_regions: None,
    geoip: Path,
    tables: Tables,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Routing]:
    """The routing of a started relay."""
    monkeypatch.setattr(process, "on_start", [begin])
    await process.start()
    yield module.routing()
    await process.stop()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not true():
            await asyncio.sleep(0.02)


def named(routing: Routing, address: str) -> str:
    region = routing.decide(address).region
    return region.name if region else ""


async def test_a_worker_copies_regions_and_addresses_and_follows_their_changes(worker: Routing) -> None:
    await until(lambda: named(worker, IN_OSAKA) == "tokyo")
    assert worker.nearer(IN_OSAKA) is not None
    assert worker.nearer("10.0.0.1") is None
    await asyncio.to_thread(PeerHealth.objects.update, ready=False)
    await until(lambda: named(worker, IN_OSAKA) == "frankfurt")


async def test_the_local_region_has_the_load_of_the_worker(worker: Routing) -> None:
    await until(lambda: bool(worker.regions))
    (local,) = [region for region in worker.regions if region.is_local]
    assert local.relay_urls
    assert (local.connections, local.capacity > 0) == (0, True)


def route(*arguments: str) -> str:
    out = StringIO()
    call_command("route", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_explains_a_decision(regions: None, geoip: Path) -> None:
    lines = route(IN_OSAKA).splitlines()
    assert lines[0] == "81.2.69.142: Osaka, JP (34.70, 135.50)"
    assert lines[1].startswith(f"{geoip}: data of 20")
    assert lines[3].split() == ["→", "tokyo", "397", "km", "ok", "weight", "100,", "30", "of", "100", "connections"]
    assert [(words[0], words[3]) for words in map(str.split, lines[4:6])] == [("frankfurt", "ok"), ("virginia", "down")]
    assert lines[-1] == "tokyo: the nearest of those that can take clients"


def test_the_command_says_it_as_json(regions: None, geoip: Path) -> None:
    found = json.loads(route("10.0.0.1", "--json"))
    assert (found["region"], found["reason"], found["latitude"]) == ("frankfurt", "local", None)
    assert [one["name"] for one in found["regions"]] == ["frankfurt", "tokyo", "virginia"]


def test_the_command_names_a_file_that_cannot_be_used(regions: None, geoip: Path) -> None:
    geoip.write_text("no database")
    assert f"warning: {geoip}: " in route(IN_OSAKA)


def test_the_command_says_that_there_is_neither_a_database_nor_a_region(db: None, settings: Settings) -> None:
    settings.RELAY_GEOIP_DATABASE = ()
    assert route(IN_OSAKA).splitlines() == [
        "81.2.69.142: unknown place",
        "no database of addresses: RELAY_GEOIP_DATABASE",
        "",
        "this relay: there are no regions",
    ]


def test_the_command_refuses_what_is_no_address() -> None:
    with pytest.raises(CommandError, match="is no IP address") as refusal:
        route("osaka")
    assert refusal.value.returncode == 2


def test_a_check_warns_of_a_file_that_cannot_be_used(geoip: Path) -> None:
    assert "relay.W010" not in [found.id for found in run_checks()]
    geoip.write_text("no database")
    assert "relay.W010" in [found.id for found in run_checks()]

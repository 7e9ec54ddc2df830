"""Whom a request to vanish is for, in an import that lacks the environment of `serve` (62-1)."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from relay.storage.store import read_urls
from tests.events import secret, sign_event
from tests.integration.order.conftest import StartRelay, start_relay
from tests.integration.storage.scribe import Tables

__all__ = ["start_relay"]

pytestmark = pytest.mark.django_db(transaction=True)

Json = dict[str, Any]
NOTED = ("wss://relay.example.com", "wss://old.example.com/nostr")


@pytest.fixture(autouse=True)
def own_environment(settings: Any) -> None:
    """That of a command: no RELAY_URL but the default, which is no address of this relay."""
    settings.RELAY_URL, settings.RELAY_URL_IS_SET, settings.RELAY_OTHER_URLS = "ws://127.0.0.1:8000", False, ()


def left_by(named: str, path: Path) -> list[Json]:
    """Lines of an author who has left: an event, and the request to vanish that names `named`."""
    now = int(time.time())
    request = sign_event(secret(70), kind=62, tags=[["relay", named]], created_at=now)
    events = [sign_event(secret(70), created_at=now - 1), request]
    path.write_text("".join([json.dumps(event) + "\n" for event in events]))
    return events


def note(tables: Tables, urls: list[str]) -> None:
    tables.connection.execute("UPDATE relay_store SET urls = %s", [urls])


async def read_in_thread() -> list[str]:
    def read() -> list[str]:
        try:
            return read_urls()
        finally:
            connection.close()

    return await asyncio.to_thread(read)


async def test_a_worker_that_starts_notes_its_addresses(start_relay: StartRelay, tables: Tables) -> None:
    note(tables, ["wss://before.example.com"])

    await start_relay(urls=NOTED)

    assert await read_in_thread() == list(NOTED)


@pytest.mark.parametrize("named", ["wss://relay.example.com/", "WSS://OLD.example.com:443/nostr", "ALL_RELAYS"])
def test_62_1_an_import_carries_out_requests_to_the_addresses_in_the_store(
    tables: Tables, tmp_path: Path, named: str
) -> None:
    note(tables, list(NOTED))
    left_by(named, tmp_path / "events")

    call_command("import", str(tmp_path / "events"), "--quiet", "--processes", "1")

    assert tables.ids() == set()


@pytest.mark.parametrize("named", ["wss://other.example.com", "ws://127.0.0.1:8000", "wss://relay.example.com:444"])
def test_62_1_an_import_stores_requests_to_other_relays(tables: Tables, tmp_path: Path, named: str) -> None:
    """The default of RELAY_URL, which the command has, is no address of this relay."""
    note(tables, list(NOTED))
    events = left_by(named, tmp_path / "events")

    call_command("import", str(tmp_path / "events"), "--quiet", "--processes", "1")

    assert tables.ids() == {event["id"] for event in events}


@pytest.mark.parametrize(
    ("noted", "own", "others", "named"),
    [
        ([], "wss://relay.example.com", (), "wss://relay.example.com"),
        (list(NOTED), "wss://new.example.com", (), "wss://new.example.com"),
        (list(NOTED), "", ("wss://older.example.com",), "wss://older.example.com"),
    ],
)
def test_62_1_what_the_environment_of_an_import_names_counts_too(
    tables: Tables, tmp_path: Path, settings: Any, noted: list[str], own: str, others: tuple[str, ...], named: str
) -> None:
    note(tables, noted)
    settings.RELAY_URL, settings.RELAY_URL_IS_SET, settings.RELAY_OTHER_URLS = own, bool(own), others
    left_by(named, tmp_path / "events")

    call_command("import", str(tmp_path / "events"), "--quiet", "--processes", "1")

    assert tables.ids() == set()


@pytest.mark.parametrize("others", [(), ("wss://old.example.com",)])
def test_an_import_that_cannot_know_the_relays_address_is_refused(
    tables: Tables, tmp_path: Path, settings: Any, others: tuple[str, ...]
) -> None:
    note(tables, [])
    settings.RELAY_OTHER_URLS = others
    left_by("wss://relay.example.com", tmp_path / "events")

    with pytest.raises(CommandError, match="does not know the address of its relay yet"):
        call_command("import", str(tmp_path / "events"), "--quiet", "--processes", "1")

    assert tables.ids() == set()

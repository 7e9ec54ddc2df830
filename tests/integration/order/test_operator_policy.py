"""A whole relay with a plug-in: verdicts, the order of a connection's messages, ephemeral events."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.events import sign_event
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay
from tests.integration.storage.scribe import Tables

pytestmark = pytest.mark.django_db

PLUGIN = f"{sys.executable} {Path(__file__).parent.parent / 'policies' / 'strfry_plugin.py'}"


def text(content: str, **rest: Any) -> dict[str, Any]:
    return sign_event(content=content, created_at=int(time.time()), **rest)


def answers(client: Client, *events: dict[str, Any]) -> list[list[Any]]:
    ids = {event["id"] for event in events}
    return [message[2:] for message in client.messages if message[0] == "OK" and message[1] in ids]


async def test_verdicts_are_the_answers_and_what_is_shadowed_is_stored_nowhere(
    start_relay: StartRelay, tables: Tables
) -> None:
    client = Client(await start_relay(plugin=PLUGIN))
    events = [text("fine"), text("reject blocked: no"), text("shadow me"), text("reject you", kind=20_001)]
    for event in events:
        client.say("EVENT", event)
    await client.until(lambda: len(answers(client, *events)) == 4)
    found = {message[1]: message[2:] for message in client.messages if message[0] == "OK"}
    expected = [[True, ""], [False, "blocked: no"], [True, ""], [False, "blocked: you"]]
    assert [found[event["id"]] for event in events] == expected
    assert tables.ids() == {events[0]["id"]}


async def test_01_e22_a_query_waits_for_the_verdicts_on_the_events_before_it(start_relay: StartRelay) -> None:
    client = Client(await start_relay(plugin=PLUGIN))
    events = [text("hold 1"), text("free")]
    for event in events:
        client.say("EVENT", event)
    client.say("REQ", "s", {"kinds": [1]})
    await client.until(lambda: client.has_eose("s"))
    assert set(client.stored("s")) == {event["id"] for event in events}


async def test_an_ephemeral_event_is_delivered_once_it_is_accepted(start_relay: StartRelay) -> None:
    client = Client(await start_relay(plugin=PLUGIN))
    client.say("REQ", "s", {"kinds": [20_001]})
    await client.until(lambda: client.has_eose("s"))
    good, bad = text("fine", kind=20_001), text("shadow", kind=20_001)
    client.say("EVENT", bad)
    client.say("EVENT", good)
    await client.until(lambda: bool(client.live("s")))
    assert client.live("s") == [good["id"]]


async def test_62_4_no_plug_in_is_asked_about_a_request_to_vanish(start_relay: StartRelay) -> None:
    client = Client(await start_relay(plugin="/does/not/exist"))
    await client.publish(text("", kind=62, tags=[["relay", "ALL_RELAYS"]]))

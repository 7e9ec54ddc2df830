"""The same new event from many connections at once is one transaction, and each of them has its OK (01-E17)."""

import pytest

from relay.services.runtime import Relay
from tests.events import secret, sign_event
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay
from tests.integration.storage.scribe import Tables

pytestmark = pytest.mark.django_db

CONNECTIONS = 100


async def test_01_e17_an_event_that_many_send_at_once_is_written_once(start_relay: StartRelay, tables: Tables) -> None:
    relay: Relay = await start_relay()
    clients = [Client(relay) for _ in range(CONNECTIONS)]
    event = sign_event(secret(1), content="the same from all")
    written = relay.writer.events

    for client in clients:
        client.say("EVENT", event)
    for client in clients:
        await client.until(lambda: bool(client.messages))  # noqa: B023

    answers = [message for client in clients for message in client.messages]
    assert sorted(answers) == sorted(
        [["OK", event["id"], True, ""]]
        + [["OK", event["id"], True, "duplicate: already have this event"]] * (CONNECTIONS - 1)
    )
    assert relay.writer.events - written == 1
    assert tables.ids() == {event["id"]}

"""A relay that lost its position starts over, with every connection to the database that it writes on."""

import asyncio

import pytest

from relay.services.runtime import Relay
from tests.events import secret, sign_event
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay

pytestmark = pytest.mark.django_db


async def start_over(relay: Relay) -> None:
    relay.lost("a test says so")
    async with asyncio.timeout(10):
        while not relay.ready:
            await asyncio.sleep(0.01)


async def test_what_is_written_after_a_restart_goes_to_the_server_that_is_followed_now(start_relay: StartRelay) -> None:
    """The old connection may lead to the server that was followed before, with numbers of its own."""
    relay: Relay = await start_relay()
    first = Client(relay)
    await first.publish(sign_event(secret(1), content="before"))
    assert relay.writer.connected
    await start_over(relay)
    assert first.ended
    assert not relay.writer.connected
    second = Client(relay)
    await second.publish(sign_event(secret(1), content="after"))
    assert relay.writer.connected


async def test_a_relay_restarts_more_than_once(start_relay: StartRelay) -> None:
    relay: Relay = await start_relay()
    for number in range(3):
        await start_over(relay)
        await assert_live(relay, f"restart {number}")


async def assert_live(relay: Relay, content: str) -> None:
    listener = Client(relay)
    listener.say("REQ", "live", {"kinds": [1]})
    await listener.until(lambda: listener.has_eose("live"))
    event = sign_event(secret(2), content=content)
    await Client(relay).publish(event)
    await listener.until(lambda: event["id"] in listener.live("live"))

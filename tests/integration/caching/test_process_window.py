"""The window of a process: changes that come one by one are in it before a query."""

import pytest

from tests.events import secret, sign_event
from tests.integration.caching.valkeys import until
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay

pytestmark = pytest.mark.django_db


async def test_a_change_is_applied_without_a_query(start_relay: StartRelay) -> None:
    relay = await start_relay(cache_layers="l1")
    process_window = relay.answers.copies.window
    await until(lambda: process_window.window.complete)
    asked = process_window.counters.hits + process_window.counters.misses

    client = Client(relay)
    for number in range(3):
        await client.publish(sign_event(secret(1), content=str(number)))

    await until(lambda: process_window.window.position == relay.hub.position and len(process_window.window) == 3)
    assert process_window.counters.hits + process_window.counters.misses == asked

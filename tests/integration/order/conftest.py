"""Two whole relays, as two workers have them, on one database and one Valkey."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from relay.conf import config
from relay.services.runtime import Relay
from relay.subscriptions.bus import Bus
from tests.integration.order.clients import Client
from tests.integration.storage.conftest import database, tables
from tests.integration.storage.scribe import Tables, wait_until_answering
from tests.unit.changes.orders import note

__all__ = ["database", "tables"]

numbers = itertools.count(1)

StartRelay = Callable[..., Any]


@pytest.fixture
async def start_relay(tables: Tables) -> AsyncIterator[StartRelay]:
    """Starts a relay with its own connection to the bus, as another process would have it."""
    async with AsyncExitStack() as started:

        async def start(**settings: Any) -> Relay:
            chosen = {"read_connections": 2, "drain_seconds": 2.0, "cache_layers": "none", **settings}
            relay = Relay(replace(config(), **chosen))
            await relay.start()
            started.push_async_callback(relay.stop)
            await wait_until_answering(relay.reads)
            await wait_until_listening(relay)
            return relay

        yield start


async def wait_until_listening(relay: Relay) -> None:
    """A bus that has just started may not listen yet: publish until it does."""
    speaker = Bus(lambda batch: None, lambda event: None, relay.store, urls=relay.config.bus_urls)
    speaker.start()
    client = Client(relay)
    client.say("REQ", "listening", {"kinds": [20_999]})
    await client.until(lambda: client.has_eose("listening"))
    try:
        async with asyncio.timeout(5):
            while not client.live("listening"):
                # A new one each time: a relay delivers an event once, and may have heard this before the REQ.
                speaker.publish_ephemeral(note(next(numbers), kind=20_999))
                await asyncio.sleep(0.01)
    finally:
        client.leave()
        await speaker.stop()

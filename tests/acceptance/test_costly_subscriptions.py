"""Costly subscriptions of some clients: the others get their answers and live events all the same."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect

from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.conftest import CopyOfMigrated, StartRelay
from tests.acceptance.relay_process import RelayProcess, running

HOSTILE = 6
SUBSCRIPTIONS = 300
FILTERS = 20
NOTES = 20

Json = dict[str, Any]


@pytest.fixture(scope="module")
def relay(copy_of_migrated: CopyOfMigrated) -> Iterator[RelayProcess]:
    """One worker, which has the costly subscriptions and the clients that must not suffer."""
    with running(RelayProcess(copy_of_migrated("costly"), roles="web")) as process:
        yield process


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def hostile(stack: AsyncExitStack, relay: RelayProcess) -> ClientConnection:
    return await stack.enter_async_context(connect(relay.ws_url, max_size=2**26, compression=None, max_queue=None))


async def ended(socket: ClientConnection, subscriptions: int) -> list[str]:
    """The texts of CLOSED, once each of so many REQs has had its EOSE or CLOSED."""
    texts: list[str] = []
    missing = subscriptions
    async with asyncio.timeout(60):
        while missing:
            message = json.loads(await socket.recv())
            missing -= message[0] in {"EOSE", "CLOSED"}
            texts += message[2:] if message[0] == "CLOSED" else []
    return texts


async def publishes_and_reads(client: Client, author: Author) -> None:
    """Each of NOTES notes is answered and comes back live; every wait of the client has a limit."""
    for number in range(NOTES):
        note = author.event(f"{number} {secrets.token_hex(8)}", tags=[["t", "popular"]])
        assert (await client.publish(note)).accepted
        assert await client.live("live") == note


async def test_filters_of_another_time_and_under_a_popular_value_do_not_delay_others(
    relay: RelayProcess, stack: AsyncExitStack
) -> None:
    author, now = Author(), int(time.time())
    client = await stack.enter_async_context(Client(relay.ws_url))
    await client.request("live", author.events)
    for number in range(HOSTILE):
        socket = await hostile(stack, relay)
        for subscription in range(SUBSCRIPTIONS):
            first = (number * SUBSCRIPTIONS + subscription) * FILTERS
            shapes: list[Json] = [
                {"kinds": [1], "since": 2**62 + first, "limit": 0},
                {"kinds": [1], "until": now - 10**6 - first, "limit": 0},
                {"authors": [author.pubkey], "kinds": [2 + first % 60_000], "limit": 0},
                {"#t": ["popular"], "authors": [f"{first:064x}"], "limit": 0},
            ]
            filters = [shapes[place % 4] | {"until": 2**62 + place} for place in range(FILTERS)]
            await socket.send(json.dumps(["REQ", f"s{subscription}", *filters]))
        await ended(socket, SUBSCRIPTIONS)

    await publishes_and_reads(client, author)


async def test_subscriptions_of_many_values_may_end_all_at_once(relay: RelayProcess, stack: AsyncExitStack) -> None:
    author = Author()
    client = await stack.enter_async_context(Client(relay.ws_url))
    await client.request("live", author.events)
    async with connect(relay.ws_url, max_size=2**26, compression=None, max_queue=None) as socket:
        for number in range(16):
            values = [f"{number}{value:x}" for value in range(30_000)]
            await socket.send(json.dumps(["REQ", f"s{number}", {"#t": values, "limit": 0}]))
        texts = await ended(socket, 16)
        await publishes_and_reads(client, author)

    await publishes_and_reads(client, author)
    assert any(text.startswith("rate-limited:") for text in texts)


async def test_a_client_whose_filters_take_too_much_is_refused_and_keeps_what_it_has(
    start_relay: StartRelay, stack: AsyncExitStack
) -> None:
    relay = start_relay({"RELAY_MAX_FILTER_BYTES": "1048576"})
    author = Author()
    client = await stack.enter_async_context(Client(relay.ws_url))
    await client.request("live", author.events)

    refused = await client.request("wide", {"#t": [str(number) for number in range(20_000)]})

    assert (refused.closed or "").startswith("rate-limited:")
    await publishes_and_reads(client, author)

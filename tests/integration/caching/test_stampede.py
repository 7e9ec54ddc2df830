"""Many clients ask for the same at once: PostgreSQL sees one query of each process, and every answer is right."""

import asyncio
from collections.abc import Sequence

import pytest

from relay.caching.page_cache import MAX_PAGE_BYTES
from relay.services.runtime import Relay
from tests.events import NOW, secret, sign_event
from tests.integration.caching.model import Json, publish
from tests.integration.caching.valkeys import Node, folder, nodes, until
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay
from tests.integration.storage.scribe import Tables
from tests.ports import free_ports

pytestmark = pytest.mark.django_db

AUTHORS = [secret(number) for number in range(1, 25)]


async def ask_at_once(clients: Sequence[Client], wanted: Json) -> None:
    for client in clients:
        client.say("REQ", "s", wanted)
    for client in clients:
        await client.until(lambda client=client: client.has_eose("s"), 30)  # type: ignore[misc]


def queries(*relays: Relay) -> int:
    return sum(relay.reads.queries for relay in relays)


async def test_a_thousand_clients_of_two_relays_cost_each_one_query_at_most(
    start_relay: StartRelay, tables: Tables
) -> None:
    with folder() as path, nodes(path, free_ports(1)) as (cache,):
        relays = [await with_cache(start_relay, cache) for _ in range(2)]
        events = [
            sign_event(author, content=str(number), created_at=NOW - number)
            for number in range(4)
            for author in AUTHORS
        ]
        await publish(relays[0], events)
        await until(lambda: relays[0].intake.ring.position == relays[1].intake.ring.position)
        wanted = {"authors": sorted({event["pubkey"] for event in events}), "kinds": [1], "limit": 25}
        clients = [Client(relays[number % 2]) for number in range(1_000)]
        before = queries(*relays)

        await ask_at_once(clients, wanted)

        right = [event["id"] for event in sorted(events, key=lambda e: (-e["created_at"], e["id"]))][:25]
        assert all(client.stored("s") == right for client in clients)
        assert queries(*relays) - before <= len(relays)


async def test_an_answer_that_is_too_large_to_keep_is_asked_for_once(start_relay: StartRelay, tables: Tables) -> None:
    with folder() as path, nodes(path, free_ports(1)) as (cache,):
        relay = await with_cache(start_relay, cache)
        events = [sign_event(content=str(number) + "x" * 120_000, created_at=NOW - number) for number in range(18)]
        assert sum(len(event["content"]) for event in events) > MAX_PAGE_BYTES
        await publish(relay, events)
        clients = [Client(relay) for _ in range(6)]
        before = queries(relay)

        await ask_at_once(clients, {"kinds": [1], "limit": 100})

        assert all(client.stored("s") == [event["id"] for event in events] for client in clients)
        assert queries(relay) - before == 1


async def with_cache(start_relay: StartRelay, cache: Node) -> Relay:
    relay: Relay = await start_relay(cache_url=cache.url, cache_layers="l1+l2", window_bytes=0)
    await until(lambda: relay.shared is not None and relay.shared.up)
    return relay


async def test_clients_that_leave_do_not_affect_the_others(start_relay: StartRelay, tables: Tables) -> None:
    with folder() as path, nodes(path, free_ports(1)) as (cache,):
        relay = await with_cache(start_relay, cache)
        event = sign_event(content="still there")
        await publish(relay, [event])
        clients = [Client(relay) for _ in range(40)]
        for client in clients:
            client.say("REQ", "s", {"kinds": [1], "until": NOW + 5})
        await asyncio.sleep(0)
        for client in clients[:-1]:
            client.leave()
        await clients[-1].until(lambda: clients[-1].has_eose("s"))
        assert clients[-1].stored("s") == [event["id"]]

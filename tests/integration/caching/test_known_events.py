"""`duplicate:` from memory, while another worker of the instance has acknowledged that the event is gone (09-8)."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from relay.freshness import lease
from relay.freshness.ack_table import make
from relay.services import follow
from relay.services.runtime import Relay
from tests.events import NOW, secret, sign_event
from tests.integration.caching.valkeys import Node, folder, nodes
from tests.integration.order.clients import Client
from tests.integration.order.conftest import StartRelay
from tests.integration.storage.scribe import Tables
from tests.ports import free_ports

pytestmark = pytest.mark.django_db


@pytest.fixture
def server() -> Iterator[Node]:
    with folder() as path, nodes(path, free_ports(1)) as (node,):
        yield node


@pytest.fixture
async def workers(
    start_relay: StartRelay, server: Node, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> list[Relay]:
    """Two workers of one instance that holds the lease; the heartbeat does not tell them of each other."""
    monkeypatch.setattr(lease, "TAKE_SECONDS", 0.2)
    monkeypatch.setattr(follow, "HEARTBEAT_SECONDS", 60)
    descriptor = make(2)
    started = [
        await start_relay(cache_url=server.url, cache_layers="l1+l2", ack_table=descriptor, worker=str(worker))
        for worker in (1, 2)
    ]
    os.close(descriptor)
    return started


async def until_lease(relay: Relay) -> None:
    async with asyncio.timeout(15):
        while not relay.barrier.lease.is_held():
            relay.barrier.join(lambda number: None)
            await asyncio.sleep(0.01)


async def answer(client: Client, event: dict[str, object]) -> list[object]:
    """The OK to an event that is published again."""
    before = len(client.messages)
    client.say("EVENT", event)
    await client.until(lambda: len(client.messages) > before)
    return client.messages[-1]


async def test_an_event_whose_removal_another_worker_has_acknowledged_is_not_called_known(
    workers: list[Relay],
) -> None:
    here, there = workers
    old = sign_event(secret(1), kind=0, content="old", created_at=NOW)
    new = sign_event(secret(1), kind=0, content="new", created_at=NOW + 1)
    author = Client(here)
    await author.publish(old)
    await until_lease(here)
    here.bus._on_batch = lambda batch: None  # what the other worker does is not heard of
    await Client(there).publish(new)

    assert here.intake.ring.event(old["id"]) is not None
    await until_lease(here)
    assert await answer(author, old) == ["OK", old["id"], False, "duplicate: have newer event"]


async def test_an_event_that_cannot_have_been_removed_is_a_duplicate_without_a_query(workers: list[Relay]) -> None:
    here, _ = workers
    event = sign_event(secret(1), content="known", created_at=NOW)
    author = Client(here)
    await author.publish(event)
    await until_lease(here)
    written = here.writer.events

    assert await answer(author, event) == ["OK", event["id"], True, "duplicate: already have this event"]
    assert here.writer.events == written

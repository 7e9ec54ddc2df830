"""A node of the servers of cache and bus is killed or frozen under load, behind Sentinels and in a Cluster.

Two workers deliver to each other's subscribers all the time. The ledger: what was acknowledged comes to each subscriber
once and in order, and a query that the other worker answers finds it at once.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kombu.connection import Connection

from relayproject.broker import broker_of
from tests.acceptance.client import Client, Json
from tests.acceptance.faults.delivery import assert_delivered_in_order
from tests.acceptance.faults.load import Listener, Publisher, new_author
from tests.acceptance.faults.outages import OwnServers
from tests.acceptance.faults.readiness import say_degraded
from tests.acceptance.faults.workers import client_of
from tests.acceptance.relay_process import RelayProcess, all_running
from tests.events import sign_event
from tests.integration.caching.valkeys import ClusterOfSix, Guarded, Node, cluster, guarded

HEALED_SECONDS = 20.0


@pytest.fixture(scope="module")
def watched() -> Iterator[Guarded]:
    """A master, two replicas, so that there is one left after two losses, and three Sentinels."""
    with guarded(replicas=2, sentinels=3) as servers:
        yield servers


@pytest.fixture(scope="module")
def six() -> Iterator[ClusterOfSix]:
    with cluster() as made:
        yield made


@pytest.fixture(scope="module")
def relays(
    watched: Guarded, six: ClusterOfSix, servers: OwnServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RelayProcess, RelayProcess]]:
    """Two workers on the Sentinels' servers, two on the Cluster; one database."""
    found = []
    for url in (watched.url, six.url):
        settings = {**servers.settings, "REDIS_URL": url, "BROKER_URL": watched.url}
        folder: Path = tmp_path_factory.mktemp("nodes") / "var"
        found.append(RelayProcess(folder, workers=2, roles="web,migrate", settings=settings))
    with all_running(*found):
        yield found[0], found[1]


@asynccontextmanager
async def ledger(relay: RelayProcess, servers: OwnServers) -> AsyncIterator[tuple[Publisher, Client, Client]]:
    """A publisher at one worker, subscribers at both, and a reader at the other. Yields the publisher and two further
    clients, of either worker; checks the ledger in the end.
    """
    async with AsyncExitStack() as stack:
        one, two = relay.workers()
        clients = [await stack.enter_async_context(client_of(relay, pid)) for pid in (one, one, two, one, two, two)]
        publisher = Publisher(clients[0], new_author())
        listeners = [Listener(client) for client in clients[1:3]]
        for listener in listeners:
            await listener.start({"authors": [publisher.pubkey]})
        publisher.start()
        await publisher.acknowledged_more(30)
        over = asyncio.Event()
        reading = asyncio.create_task(read_until(over, clients[5], publisher))

        yield publisher, clients[3], clients[4]

        await publisher.acknowledged_more(30)
        await publisher.finish()
        over.set()
        assert await reading == [], "what was acknowledged is found at once"
        await assert_delivered_in_order(servers, publisher, listeners)


async def read_until(over: asyncio.Event, client: Client, publisher: Publisher) -> list[str]:
    """Ask for the newest acknowledged event again and again; returns those that were not in the answer."""
    missing = []
    while not over.is_set():
        newest = publisher.acknowledged[-1]
        if (await client.query({"authors": [publisher.pubkey], "limit": 5, "ids": [newest]})).ids != [newest]:
            missing.append(newest)
        await asyncio.sleep(0.02)
    return missing


async def until_the_bus_carries(near: Client, far: Client) -> float:
    """Publish ephemeral events, which travel on the bus alone, until one arrives; after how many seconds."""
    began = time.monotonic()
    author = new_author()
    await far.request("carried", {"kinds": [20_001]})
    arrival = asyncio.create_task(far.live("carried", HEALED_SECONDS))
    while not arrival.done():
        event: Json = sign_event(author, kind=20_001, created_at=int(time.time()))
        assert (await near.publish(event)).accepted
        await asyncio.sleep(0.05)
    await arrival
    return time.monotonic() - began


async def lose(relay: RelayProcess, servers: OwnServers, strike: Callable[[], None]) -> None:
    """Strike at a node under load; nothing is lost, and the bus carries again."""
    await say_degraded(relay, False, HEALED_SECONDS)
    async with ledger(relay, servers) as (publisher, near, far):
        await asyncio.to_thread(strike)
        await publisher.acknowledged_more(30)
        there, back = await until_the_bus_carries(near, far), await until_the_bus_carries(far, near)
        print(f"the bus carries again after {there:.1f} and {there + back:.1f} s")


async def test_a_frozen_master_is_left_for_the_one_that_sentinels_name(
    relays: tuple[RelayProcess, RelayProcess], watched: Guarded, servers: OwnServers
) -> None:
    await lose(relays[0], servers, watched.master_now().freeze)


async def test_a_killed_master_is_left_for_the_one_that_sentinels_name(
    relays: tuple[RelayProcess, RelayProcess], watched: Guarded, servers: OwnServers
) -> None:
    await lose(relays[0], servers, watched.master_now().kill)


def test_jobs_go_through_the_master_that_sentinels_name(watched: Guarded) -> None:
    """After the failovers above; with Celery's own library, as Celery uses it."""
    broker = broker_of(watched.url)
    connect: Any = Connection
    with connect(broker.url, transport_options=broker.options, ssl=broker.tls or False) as connection:
        queue = connection.SimpleQueue("jobs")
        queue.put("a job")
        assert queue.get(timeout=HEALED_SECONDS).payload == "a job"
        assert watched.master_now().admin.info("commandstats")["cmdstat_brpop"]["calls"] > 0
        queue.close()


def with_subscribers(six: ClusterOfSix, *passed_over: Node) -> Node:
    """A node that a worker hears the bus at; a master if there is one."""
    nodes = [node for node in (*six.masters, *six.replicas) if node not in passed_over]
    return next(node for node in nodes if node.admin.client_list(_type="pubsub"))


async def test_a_frozen_node_of_a_cluster_is_left_for_another(
    relays: tuple[RelayProcess, RelayProcess], six: ClusterOfSix, servers: OwnServers
) -> None:
    node = with_subscribers(six)
    try:
        await lose(relays[1], servers, node.freeze)
    finally:
        node.thaw()


async def test_a_killed_node_of_a_cluster_is_left_for_another(
    relays: tuple[RelayProcess, RelayProcess], six: ClusterOfSix, servers: OwnServers
) -> None:
    await lose(relays[1], servers, with_subscribers(six).kill)

"""PostgreSQL away while the relay runs: errors in bounded time, nothing acknowledged lost, well again by itself."""

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack

import psycopg
import pytest

from tests.acceptance.client import Client
from tests.acceptance.faults.load import Listener, Publisher, answers, new_author, stored_of, until
from tests.acceptance.faults.outages import OwnServers, Way
from tests.acceptance.faults.readiness import say_degraded
from tests.acceptance.faults.workers import client_of
from tests.acceptance.relay_process import RelayProcess

RETURN_SECONDS = 5.0
"""The promise: so long after the server is back the relay is well."""

ANSWER_SECONDS = 6.0
"""Bound of an answer during the outage: the budgets of the relay are 1 and 1.5 s, the rest is the machine's."""


@pytest.mark.parametrize("way", ["gone", "hangs"])
async def test_clients_survive_an_outage_of_the_database(
    outage_relay: RelayProcess, servers: OwnServers, way: Way
) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(outage_relay, pid)) for pid in outage_relay.workers()]
        publishers = [Publisher(client, new_author()) for client in clients]
        mine = {"authors": [publisher.pubkey for publisher in publishers]}
        listeners = [
            Listener(await stack.enter_async_context(client_of(outage_relay, pid))) for pid in outage_relay.workers()
        ]
        asking = await stack.enter_async_context(Client(outage_relay.ws_url))
        for listener in listeners:
            await listener.start(mine)
        for publisher in publishers:
            publisher.start()
            await publisher.acknowledged_more(50)

        servers.take_away("postgres", way)
        for publisher in publishers:
            await publisher.refused_one(ANSWER_SECONDS)
        started = time.monotonic()
        for number in range(3):
            found = await asking.request(f"asked {number}", mine)
            assert found.closed is not None
            assert found.closed.startswith("error: ")
        assert time.monotonic() - started < ANSWER_SECONDS
        await say_degraded(outage_relay, True, ANSWER_SECONDS, "the primary")

        servers.give_back("postgres", way)
        back = time.monotonic()
        await asyncio.gather(*(publisher.acknowledged_more(20, RETURN_SECONDS) for publisher in publishers))
        await say_degraded(outage_relay, False, RETURN_SECONDS - (time.monotonic() - back), "the primary")
        await asyncio.gather(*(publisher.finish() for publisher in publishers))
        await answers(asking, RETURN_SECONDS - (time.monotonic() - back))

        acknowledged = [event_id for publisher in publishers for event_id in publisher.acknowledged]
        assert all(answer.text.startswith("error: ") for p in publishers for answer in p.refused)
        assert max(publisher.longest_wait_seconds for publisher in publishers) < ANSWER_SECONDS

        for listener in listeners:
            await listener.has(acknowledged)
            assert len(set(listener.ids)) == len(listener.ids), "an event came twice"
            await listener.stop()
        stored = await stored_of(asking, acknowledged)
        assert stored == set(acknowledged)


async def test_a_table_that_is_locked_costs_a_query_and_no_connection(
    outage_relay: RelayProcess, servers: OwnServers
) -> None:
    async with Client(outage_relay.ws_url) as client:
        with psycopg.connect(servers.postgres.url) as locking:
            locking.execute("LOCK TABLE relay_event IN ACCESS EXCLUSIVE MODE")
            found = await client.request("locked", {"kinds": [1]})
            assert found.closed == "error: query timed out"
            locking.rollback()

        assert (await client.request("free", {"kinds": [1], "limit": 1})).closed is None


async def test_a_database_that_is_killed_is_started_again_and_lacks_nothing(sturdy_relay: RelayProcess) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(sturdy_relay, pid)) for pid in sturdy_relay.workers()]
        listener = Listener(await stack.enter_async_context(Client(sturdy_relay.ws_url)))
        publishers = [Publisher(client, new_author()) for client in clients]
        await listener.start({"authors": [publisher.pubkey for publisher in publishers]})
        for publisher in publishers:
            publisher.start()
            await publisher.acknowledged_more(30)

        postmaster = int((sturdy_relay.data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        await until(
            lambda: "serve: PostgreSQL was ended by SIGKILL; starting it again" in sturdy_relay.messages(), "it"
        )
        await asyncio.gather(*(publisher.acknowledged_more(30, 2 * RETURN_SECONDS) for publisher in publishers))
        await asyncio.gather(*(publisher.finish() for publisher in publishers))
        await asyncio.gather(*(answers(client, RETURN_SECONDS) for client in clients))

        acknowledged = [event_id for publisher in publishers for event_id in publisher.acknowledged]
        await listener.has(acknowledged)
        await listener.stop()
        assert len(set(listener.ids)) == len(listener.ids), "an event came twice"
        assert await stored_of(clients[0], acknowledged) == set(acknowledged)

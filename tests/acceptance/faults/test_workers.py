"""A relay worker that dies under load takes its own clients along, and nothing else."""

import os
import signal
from contextlib import AsyncExitStack

from tests.acceptance.client import Client
from tests.acceptance.faults.load import Listener, Publisher, new_author, stored_of, until
from tests.acceptance.faults.workers import client_of
from tests.acceptance.relay_process import RelayProcess

REPLACED_SECONDS = 15.0


async def test_a_killed_worker_costs_no_acknowledged_event_and_no_neighbour(sturdy_relay: RelayProcess) -> None:
    async with AsyncExitStack() as stack:
        doomed, other = sturdy_relay.workers()
        there, here, ears = [
            await stack.enter_async_context(client_of(sturdy_relay, pid)) for pid in (doomed, other, other)
        ]
        publishers = [Publisher(there, new_author()), Publisher(here, new_author())]
        heir = new_author()
        listener = Listener(ears)
        await listener.start({"authors": [*(p.pubkey for p in publishers), Publisher(here, heir).pubkey]})
        for publisher in publishers:
            publisher.start()
            await publisher.acknowledged_more(50)

        os.kill(doomed, signal.SIGKILL)

        await until(lambda: publishers[0].connection_lost, "the end of its client's connection")
        await publishers[1].acknowledged_more(50)
        await until(
            lambda: len(sturdy_relay.workers()) == 2 and doomed not in sturdy_relay.workers(),
            "a new worker",
            REPLACED_SECONDS,
        )
        (replaced,) = set(sturdy_relay.workers()) - {other}
        await until(lambda: sturdy_relay.get("/ready")[0] == 200, "readiness")
        publisher = Publisher(await reached(stack, sturdy_relay, replaced), heir)
        publisher.start()
        publishers.append(publisher)
        await publisher.acknowledged_more(50)
        for living in publishers[1:]:
            await living.finish()

        acknowledged = [event_id for publisher in publishers for event_id in publisher.acknowledged]
        assert [publisher.refused for publisher in publishers] == [[], [], []]
        await listener.has(acknowledged)
        await listener.stop()
        assert len(set(listener.ids)) == len(listener.ids), "an event came twice"
        assert not listener.connection_lost
        assert await stored_of(here, acknowledged) == set(acknowledged)


async def reached(stack: AsyncExitStack, relay: RelayProcess, worker: int) -> Client:
    """A client of a worker that may not listen yet."""
    for _ in range(20):
        try:
            return await stack.enter_async_context(client_of(relay, worker))
        except AssertionError:
            continue
    raise AssertionError("the new worker takes no connections")

"""A store of the costliest events that the limits allow: it starts again, and a killed worker comes back."""

import asyncio

from tests.acceptance.client import Client
from tests.acceptance.conftest import StartRelay
from tests.acceptance.faults.workers import memory_megabytes
from tests.acceptance.relay_process import wait_for
from tests.benchmarks.worst_store import fill, kill_a_worker
from tests.events import pubkey_of, secret

EVENTS = 90
"""A third has ten thousand tags each, a third is large, a third is of any size (tests/benchmarks/worst_store.py)."""
COPIES_BYTES = 2**22
"""Bound of ring and window: a few of the events."""

MOST_MEGABYTES = 100
"""By which a worker may grow. 30 large events are 12 MB of text, 30 with their tags 90 MB in ring and window."""


def test_a_relay_outlives_a_store_of_the_worst_events(start_relay: StartRelay) -> None:
    settings = {
        "RELAY_RING_BYTES": str(COPIES_BYTES),
        "RELAY_WINDOW_BYTES": str(COPIES_BYTES),
        "RELAY_HEARTBEAT_SECONDS": "3",
    }
    relay = start_relay(settings, workers=2)
    least = min(map(memory_megabytes, relay.workers()))

    asyncio.run(fill(relay, "mixed", EVENTS))
    kill_a_worker(relay)
    relay.stop()
    relay.launch()
    relay.wait_ready()

    assert "no heartbeat" not in relay.messages()
    assert asyncio.run(newest(relay.ws_url)) == EVENTS
    wait_for(lambda: max(map(memory_megabytes, relay.workers())) < least + MOST_MEGABYTES, "little memory")


async def newest(url: str) -> int:
    """How many of the costly events are found."""
    authors = [pubkey_of(secret(number)) for number in (1, 2, 3)]
    async with Client(url) as client:
        return len((await client.query({"authors": authors, "limit": 500})).events)

"""Valkey away for some seconds under load: the log takes the place of the bus, and no subscription notices."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from tests.acceptance.faults.delivery import assert_delivered_in_order
from tests.acceptance.faults.load import Listener, Publisher, new_author
from tests.acceptance.faults.outages import OwnServers, Way
from tests.acceptance.faults.readiness import say_degraded
from tests.acceptance.faults.workers import client_of
from tests.acceptance.relay_process import RelayProcess
from tests.events import sign_event

OUTAGE_SECONDS: dict[Way, float] = {"gone": 5.0, "hangs": 4.0}
NOTICED_SECONDS = 6.0
RETURN_SECONDS = 5.0


@pytest.mark.parametrize("way", ["gone", "hangs"])
async def test_subscriptions_get_every_event_once_and_in_order_while_the_bus_is_away(
    outage_relay: RelayProcess, servers: OwnServers, way: Way
) -> None:
    async with AsyncExitStack() as stack:
        one, two = outage_relay.workers()
        publisher = Publisher(await stack.enter_async_context(client_of(outage_relay, one)), new_author())
        listeners = [Listener(await stack.enter_async_context(client_of(outage_relay, pid))) for pid in (one, two, two)]
        for listener in listeners:
            await listener.start({"authors": [publisher.pubkey]})
        publisher.start()
        await publisher.acknowledged_more(50)

        servers.take_away("valkey", way)
        gone = time.monotonic()
        await say_degraded(outage_relay, True, NOTICED_SECONDS)
        during = len(publisher.acknowledged)
        await asyncio.sleep(OUTAGE_SECONDS[way] - (time.monotonic() - gone))
        assert len(publisher.acknowledged) > during, "publishing does not wait for the bus"
        for listener in listeners:
            await listener.has(publisher.acknowledged[:during])

        servers.give_back("valkey", way)
        await say_degraded(outage_relay, False, RETURN_SECONDS)
        await publisher.acknowledged_more(50)
        await publisher.finish()

        await assert_delivered_in_order(servers, publisher, listeners)


async def test_after_the_bus_has_returned_ephemeral_events_reach_the_other_worker(outage_relay: RelayProcess) -> None:
    """They travel on the bus alone, so this is the proof that it carries again."""
    one, two = outage_relay.workers()
    async with client_of(outage_relay, one) as near, client_of(outage_relay, two) as far:
        await far.request("live", {"kinds": [20_001]})
        event = sign_event(new_author(), kind=20_001, created_at=int(time.time()))
        assert (await near.publish(event)).accepted
        assert await far.live("live") == event

"""Two whole regions: what is published in one is served by the other, whatever is killed meanwhile."""

import time

from tests.acceptance.client import Client
from tests.acceptance.relay_process import RelayProcess
from tests.events import sign_event

Pair = tuple[RelayProcess, RelayProcess]
SECONDS = 40.0


async def test_an_event_comes_to_the_other_region_and_is_delivered_there(pair: Pair) -> None:
    eu, us = pair
    event = sign_event(content="crosses")
    async with Client(eu.ws_url) as here, Client(us.ws_url) as there:
        await there.request("live", {"ids": [event["id"]]})
        assert (await here.publish(event)).accepted
        assert await there.live("live", SECONDS) == event
        second = sign_event(content="crosses at once")
        await there.request("live2", {"ids": [second["id"]]})
        began = time.monotonic()
        await here.publish(second)
        await there.live("live2")
        print("latency", time.monotonic() - began)

"""SIGTERM: every client is told, what was acknowledged is there at the next start."""

import time
from contextlib import AsyncExitStack
from pathlib import Path

from tests.acceptance.client import Client
from tests.acceptance.conftest import StartRelay
from tests.acceptance.faults.load import Publisher, new_author, stored_of

STOP_SECONDS = 10.0


async def test_01_s09_a_stop_tells_every_subscription_and_keeps_every_acknowledged_event(
    start_relay: StartRelay, prepared_folder: Path
) -> None:
    relay = start_relay(workers=2, data_dir=prepared_folder)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(relay.ws_url)) for _ in range(6)]
        for client in clients:
            for name in ("one", "two"):
                await client.request(name, {"kinds": [30_000]})
        publishers = [Publisher(await stack.enter_async_context(Client(relay.ws_url)), new_author()) for _ in range(3)]
        for publisher in publishers:
            publisher.start()
        for publisher in publishers:
            await publisher.acknowledged_more(50)

        assert relay.process is not None
        relay.process.terminate()
        signalled = time.monotonic()

        for client in clients:
            assert await client.closed() == 1012
            assert [message[:2] for message in client.unread] == [["CLOSED", "one"], ["CLOSED", "two"]]
            assert all(message[2].startswith("error: ") for message in client.unread)
        for publisher in publishers:
            await publisher.connection_ended()
        assert relay.wait_ended(STOP_SECONDS) == 0
        assert time.monotonic() - signalled < STOP_SECONDS

    again = start_relay(workers=2, data_dir=prepared_folder)
    acknowledged = [event_id for publisher in publishers for event_id in publisher.acknowledged]
    async with Client(again.ws_url) as client:
        assert await stored_of(client, acknowledged) == set(acknowledged)

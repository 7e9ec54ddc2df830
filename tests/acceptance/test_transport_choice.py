"""The transport with compression, which an operator may choose."""

import json
from collections.abc import Callable

from websockets.asyncio.client import connect

from tests.acceptance.relay_process import RelayProcess
from tests.events import secret, sign_event


async def test_the_websockets_transport_compresses_and_serves_the_same_relay(
    start_relay: Callable[..., RelayProcess],
) -> None:
    relay = start_relay({"RELAY_TRANSPORT": "websockets"})
    event = sign_event(secret(7), kind=1, content="a" * 5_000, tags=[], created_at=1_700_000_000)
    async with connect(relay.ws_url, compression="deflate") as client:
        assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]  # type: ignore[union-attr]

        assert json.loads(await client.recv())[0] == "AUTH"
        await client.send(json.dumps(["EVENT", event]))
        assert event["id"] in str(await client.recv())
        await client.send(json.dumps(["REQ", "one", {"ids": [event["id"]]}]))
        assert "a" * 5_000 in str(await client.recv())


async def test_the_usual_transport_offers_no_compression(relay: RelayProcess) -> None:
    async with connect(relay.ws_url, compression="deflate") as client:
        assert "Sec-WebSocket-Extensions" not in client.response.headers  # type: ignore[union-attr]

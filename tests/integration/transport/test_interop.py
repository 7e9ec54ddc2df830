"""Clients of other projects: websockets and picows."""

import asyncio
from collections.abc import Iterator

import picows
import pytest
import websockets
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from tests.integration.transport.applications import direct_echo, echo
from tests.integration.transport.serving import Serving


@pytest.fixture(scope="module", params=[echo, direct_echo], ids=["standard", "direct"])
def serving(request: pytest.FixtureRequest) -> Iterator[Serving]:
    with Serving(request.param, ws_max_size=1_000_000) as running:
        yield running


async def test_websockets_talks_pings_and_closes(serving: Serving) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{serving.port}/") as client:
        for message in ("hello", "", "Grüße 🌍", "x" * 999_999):
            await client.send(message)
            assert await client.recv() == message
        await client.send(["in ", "four ", "fragments", ""])
        assert await client.recv() == "in four fragments"
        await (await client.ping())
        await client.close(4000, "bye")
        assert client.close_code == 4000


async def test_websockets_learns_why_it_was_closed(serving: Serving) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{serving.port}/") as client:
        await client.send("x" * 1_000_001)
        with pytest.raises(ConnectionClosedError) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_websockets_sees_a_refusal() -> None:
    async def refusing(scope: object, receive: object, send: object) -> None:
        raise ValueError("a fault of the application")

    with Serving(refusing) as serving, pytest.raises(InvalidStatus) as refused:
        await websockets.connect(f"ws://127.0.0.1:{serving.port}/")
    assert refused.value.response.status_code == 500


async def test_picows_talks_and_closes(serving: Serving) -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            if frame.msg_type == picows.WSMsgType.CLOSE:
                received.put_nowait(b"close %d" % int(frame.get_close_code().value))
            else:
                received.put_nowait(frame.get_payload_as_bytes())

    transport, _ = await picows.ws_connect(Listener, f"ws://127.0.0.1:{serving.port}/")
    async with asyncio.timeout(10):
        for message in (b"hello", b"", b"x" * 200_000):
            transport.send(picows.WSMsgType.TEXT, message)
            assert await received.get() == message
        assert len(await transport.measure_roundtrip_time(3)) == 3
        transport.send_close(picows.WSCloseCode.OK)
        assert await received.get() == b"close 1000"
        await transport.wait_disconnected()

"""Limits of connections, and pings: 503 before the handshake, and no connection that is dead for long."""

import asyncio
import base64
import os
import time
from contextlib import AsyncExitStack

import pytest
from websockets.exceptions import InvalidStatus

from tests.acceptance.client import Client
from tests.acceptance.relay_process import RelayProcess

PING_FRAME = b"\x89\x00"


async def enter(stack: AsyncExitStack, relay: RelayProcess, address: str = "127.0.0.1") -> Client:
    return await stack.enter_async_context(Client(relay.ws_url, local_addr=(address, 0)))


async def enter_in_time(stack: AsyncExitStack, relay: RelayProcess, address: str = "127.0.0.1") -> Client:
    """As `enter`, when there is room within five seconds: the end of a connection takes a moment to be counted."""
    deadline = time.monotonic() + 5.0
    while True:
        try:
            return await enter(stack, relay, address)
        except InvalidStatus:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


async def refusal(relay: RelayProcess, address: str) -> tuple[int, str]:
    async with AsyncExitStack() as stack:
        with pytest.raises(InvalidStatus) as refused:
            await enter(stack, relay, address)
    return refused.value.response.status_code, (refused.value.response.body or b"").decode()


async def test_one_address_gets_so_many_connections_and_others_are_not_concerned(small_relay: RelayProcess) -> None:
    async with AsyncExitStack() as stack:
        clients = [await enter_in_time(stack, small_relay) for _ in range(3)]

        assert await refusal(small_relay, "127.0.0.1") == (503, "too many connections from this address\n")
        assert (await (await enter_in_time(stack, small_relay, "127.0.0.2")).query({"limit": 1})).closed is None

        await clients[0].socket.close()
        assert (await (await enter_in_time(stack, small_relay)).query({"limit": 1})).closed is None


async def test_a_full_relay_refuses_everyone_and_still_says_that_it_lives(small_relay: RelayProcess) -> None:
    async with AsyncExitStack() as stack:
        for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"):
            for _ in range(2):
                await enter_in_time(stack, small_relay, address)

        assert await refusal(small_relay, "127.0.0.5") == (503, "the relay has too many connections\n")
        assert (await asyncio.to_thread(small_relay.get, "/health"))[0] == 200


async def test_01_s14_a_client_that_answers_no_ping_is_dropped_and_one_that_does_stays(
    small_relay: RelayProcess,
) -> None:
    async with AsyncExitStack() as stack:
        alive = await enter_in_time(stack, small_relay)
        reader, writer = await asyncio.open_connection("127.0.0.1", small_relay.port, local_addr=("127.0.0.9", 0))
        writer.write(
            b"GET / HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(os.urandom(16)) + b"\r\n\r\n"
        )
        try:
            async with asyncio.timeout(10):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
                assert PING_FRAME in await reader.read()  # until the relay ends the connection
        except ConnectionResetError:
            pass
        finally:
            writer.transport.abort()

        assert (await alive.query({"limit": 1})).closed is None

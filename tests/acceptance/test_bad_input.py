"""Bad input: each gets its answer or a clean close, and no other connection notices.

Every test runs beside a neighbour, who must be served before and after, and the workers must stay the same.
"""

import asyncio
import json
import secrets
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.acceptance.client import Client
from tests.acceptance.relay_process import RelayProcess
from tests.events import pubkey_of, sign_event

DEEP = 100_000
MORE_THAN_ALL_BUFFERS = 64 * 2**20


@pytest_asyncio.fixture(autouse=True)
async def neighbours(relay: RelayProcess) -> AsyncIterator[None]:
    """Eight neighbours on both workers, who publish and read before and after each test."""
    workers = relay.workers()
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(relay.ws_url)) for _ in range(8)]
        await _served(clients[0], clients)
        yield
        for client in clients:
            await _served(client, clients)
    assert relay.workers() == workers


async def _served(client: Client, readers: list[Client]) -> None:
    key = secrets.token_bytes(32)
    event = sign_event(key, created_at=int(time.time()))
    for reader in readers:
        await reader.request("live", {"authors": [pubkey_of(key)]})
    assert (await client.publish(event)).accepted
    for reader in readers:
        assert await reader.live("live") == event


@pytest_asyncio.fixture
async def client(relay: RelayProcess) -> AsyncIterator[Client]:
    async with Client(relay.ws_url) as connected:
        yield connected


async def is_served(client: Client) -> bool:
    """True if the connection still answers."""
    return (await client.query({"limit": 1})).closed is None


@pytest.mark.parametrize(
    "frame",
    [
        "", " ", "[", "]", '["EVENT"', '["EVENT",{]', '["REQ" "a"]', "nul", "[NaN]", "\ufeff[]", "[]]", "\x00",
    ],
)  # fmt: skip
async def test_malformed_json_gets_a_notice(client: Client, frame: str) -> None:
    await client.send_raw(frame)

    assert (await client.notice()).startswith("invalid: ")
    assert await is_served(client)


@pytest.mark.parametrize(
    "frame",
    ['["REQ","a",{"kinds":[1,]}]', '["REQ","a",{"since":Infinity}]', '["REQ","a",{}] x', '["REQ","a",{"kinds":[01]}]'],
)
async def test_a_malformed_req_closes_its_subscription(client: Client, frame: str) -> None:
    await client.send_raw(frame)

    kind, subscription, text = await client.next()
    assert (kind, subscription) == ("CLOSED", "a")
    assert text.startswith("invalid: ")
    assert await is_served(client)


@pytest.mark.parametrize("opening, closing", [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
@pytest.mark.parametrize(
    "around, answer",
    [("%s", "NOTICE"), ('["EVENT",%s]', "NOTICE"), ('["REQ","a",{"kinds":%s}]', "CLOSED"), ('["CLOSE",%s]', "NOTICE")],
)
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
async def test_deep_nesting_is_invalid(
    client: Client, around: str, answer: str, opening: str, closing: str, closed: bool
) -> None:
    depth = DEEP // len(opening)

    await client.send_raw(around % (opening * depth + ("1" + closing * depth if closed else "")))

    kind, *_, text = await client.next()
    assert kind == answer
    assert text.startswith("invalid: ")
    assert await is_served(client)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" * 5_000, "0." + "1" * 5_000, "1e-400", str(2**64), "-0.0"])
async def test_huge_numbers_are_invalid(client: Client, number: str) -> None:
    event = json.dumps(sign_event(created_at=1)).replace('"created_at": 1', f'"created_at": {number}')
    await client.send_raw(f'["EVENT",{event}]')
    await client.send_raw(f'["REQ","sub",{{"since":{number}}}]')
    await client.send_raw(f'["REQ","sub",{{"limit":{number}}}]')

    texts = [(await client.next())[-1] for _ in range(3)]

    assert all(text.startswith("invalid: ") for text in texts), texts
    assert await is_served(client)


@pytest.mark.parametrize("value", ["null", "true", "7", '"x"', "[]", "{}", "[[[]]]", '{"id":{}}'])
async def test_wrong_types_are_invalid(client: Client, value: str) -> None:
    frames = [f'["EVENT",{value}]', f'["REQ",{value if value != chr(34) + "x" + chr(34) else 7},{{}}]', f"[{value}]"]
    for frame in frames:
        await client.send_raw(frame)

        answer = await client.next()
        assert answer[0] in ("NOTICE", "OK")
        assert answer[-1].startswith("invalid: ")
    assert await is_served(client)


@pytest.mark.parametrize(
    "text", [b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"a\x80b"], ids=str
)
async def test_invalid_utf8_is_refused_or_closes_with_1007(client: Client, text: bytes) -> None:
    await client.send_raw(b'["REQ","' + text + b'",{}]')

    assert await client.closed() == 1007


@pytest.mark.parametrize("escape", [r"\ud800", r"\udfff", r"\ud800\ud800", r"\udc00\ud800", r"\ud83dx"])
@pytest.mark.parametrize("frame", ['["REQ","%s",{}]', '["REQ","a",{"#t":["%s"]}]', '["EVENT",{"content":"%s"}]'])
async def test_lone_surrogates_are_invalid(client: Client, frame: str, escape: str) -> None:
    await client.send_raw(frame % escape)

    assert (await client.next())[-1].startswith("invalid: ")
    assert await is_served(client)


@pytest.mark.parametrize("frame", [b"", b'["REQ","a",{}]', bytes(range(256)), b"\xff" * 100_000], ids=len)
async def test_binary_frames_get_a_notice(client: Client, frame: bytes) -> None:
    await client.socket.send(frame)

    assert (await client.notice()).startswith("invalid: ")
    assert await is_served(client)


@pytest.mark.parametrize("size", [1_048_577, 1_200_000, 2_000_000])
async def test_a_frame_over_the_limit_closes_with_1009(client: Client, size: int) -> None:
    await client.send_raw(" " * size)

    assert await client.closed() == 1009


async def test_fragments_over_the_limit_close_with_1009(client: Client) -> None:
    async def endless() -> AsyncIterator[str]:
        for _ in range(12):  # the limit and less than the relay reads away after it
            yield " " * 100_000

    sending = asyncio.create_task(client.socket.send(endless()))

    assert await client.closed() == 1009
    await asyncio.gather(sending, return_exceptions=True)


async def test_a_thousand_messages_are_answered_without_being_read(client: Client) -> None:
    names = [f"sub {number}" for number in range(1_000)]
    for name in names:
        await client.send("REQ", name, {"limit": 0})
        await client.send("CLOSE", name)
        await client.send("REQ", name, {"kinds": "x"})

    came: set[str] = set()
    while len(came) < len(names):
        message = await client.receive(lambda message: message[0] == "CLOSED")
        came.add(message[1])

    assert came == set(names)
    assert await is_served(client)


async def test_a_client_that_never_reads_is_cut_off_or_held_back(relay: RelayProcess) -> None:
    """A client that sends and never reads meets the bounds of the relay: its sending stops, or it is cut off."""
    reader, writer = await handshake(relay)
    request = masked(b'["REQ","sub",{"limit":500}]') * 1_000

    async def send_more_than_is_taken() -> None:
        for _ in range(MORE_THAN_ALL_BUFFERS // len(request)):
            writer.write(request)
            await asyncio.wait_for(writer.drain(), 1)

    with pytest.raises((TimeoutError, ConnectionError)):
        await send_more_than_is_taken()

    writer.transport.abort()
    assert not reader.at_eof()


@pytest.mark.parametrize("how", ["reset", "half", "silent"])
async def test_a_client_that_vanishes_mid_query_is_forgotten(relay: RelayProcess, how: str) -> None:
    for _ in range(20):
        reader, writer = await handshake(relay)
        writer.write(b"".join(masked(b'["REQ","%d",{"limit":500}]' % number) for number in range(50)))
        await writer.drain()
        if how == "half":
            writer.write(masked(b'["EVENT",{"id":"' + b"0" * 1_000)[:500])
            await writer.drain()
        if how == "reset":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort() if how != "half" else writer.close()
        del reader


async def handshake(relay: RelayProcess) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket connection as bytes, unread."""
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port, limit=2**12)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def masked(payload: bytes) -> bytes:
    """A text frame of a client, with a mask of zeros."""
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else bytes((0x81, 0x80 | 126)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload

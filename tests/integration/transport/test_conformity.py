"""RFC 6455, rule by rule, on both ways an application can use the transport."""

from collections.abc import Iterator

import pytest

from relay.transport.counters import counters
from tests.integration.transport.applications import direct_echo, echo
from tests.integration.transport.client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Client,
    close,
    eventually,
    frame,
    request,
)
from tests.integration.transport.serving import Serving

MAX = 100_000

BROKEN = {
    "an unmasked frame": (frame(TEXT, b"a", masked=False), 1002),
    "a reserved opcode": (frame(0x3, b"a"), 1002),
    "a reserved control opcode": (frame(0xB), 1002),
    "rsv1": (frame(TEXT, b"a", rsv=4), 1002),
    "rsv2": (frame(TEXT, b"a", rsv=2), 1002),
    "rsv3 on a ping": (frame(PING, b"a", rsv=1), 1002),
    "a fragmented ping": (frame(PING, b"a", fin=False), 1002),
    "a ping of 126 bytes": (frame(PING, b"a" * 126), 1002),
    "a continuation of nothing": (frame(CONTINUATION, b"a"), 1002),
    "a continuation after a whole message": (frame(TEXT, b"a") + frame(CONTINUATION, b"a"), 1002),
    "text inside a message": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "binary inside a message": (frame(TEXT, b"a", fin=False) + frame(BINARY, b"b"), 1002),
    "invalid UTF-8": (frame(TEXT, b"\xff"), 1007),
    "a surrogate in UTF-8": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "a cut character": (frame(TEXT, b"\xc3"), 1007),
    "a cut character in fragments": (frame(TEXT, b"a\xc3", fin=False) + frame(CONTINUATION, b"a"), 1007),
    "a message of n + 1 bytes": (frame(TEXT, b"a" * (MAX + 1)), 1009),
    "fragments of n + 1 bytes": (frame(TEXT, b"a" * MAX, fin=False) + frame(CONTINUATION, b"a"), 1009),
    "a frame of a terabyte": (b"\x81\xff" + (1 << 40).to_bytes(8, "big"), 1009),
    "a length with its first bit set": (b"\x81\xff" + (1 << 63).to_bytes(8, "big"), 1002),
    "a length that is too long for its size": (b"\x81\xfe\x00\x05\0\0\0\0aaaaa", 1002),
    "a close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "close 0": (close(0), 1002),
    "close 999": (close(999), 1002),
    "close 1004": (close(1004), 1002),
    "close 1005": (close(1005), 1002),
    "close 1006": (close(1006), 1002),
    "close 1015": (close(1015), 1002),
    "close 2000": (close(2000), 1002),
    "close 5000": (close(5000), 1002),
    "a close reason that is not UTF-8": (close(1000, b"\xff"), 1007),
}


@pytest.fixture(scope="module", params=[echo, direct_echo], ids=["standard", "direct"])
def serving(request: pytest.FixtureRequest) -> Iterator[Serving]:
    with Serving(request.param, ws_max_size=MAX) as running:
        running.attached = request.param is direct_echo  # an answer needs no turn of the loop
        yield running


@pytest.mark.parametrize("sent, code", BROKEN.values(), ids=BROKEN)
async def test_a_broken_rule_closes_with_its_code(serving: Serving, sent: bytes, code: int) -> None:
    errors = counters.protocol_errors
    async with await Client.open(serving.port) as client:
        client.send(sent)
        assert (await client.read_close())[0] == code
        assert await client.read_to_end() == b""
    assert counters.protocol_errors == errors + 1


@pytest.mark.parametrize("sent, code", BROKEN.values(), ids=BROKEN)
async def test_the_message_before_a_broken_rule_is_answered(serving: Serving, sent: bytes, code: int) -> None:
    async with await Client.open(serving.port) as client:
        client.send(frame(TEXT, b"before") + sent)
        if serving.attached:
            assert await client.read_text() == "before"
        assert (await client.read_close())[0] == code


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4001, 4999])
async def test_a_close_is_answered_with_its_code(serving: Serving, code: int) -> None:
    async with await Client.open(serving.port) as client:
        client.send(close(code, b"bye"))
        assert (await client.read_close())[0] == code
        assert await client.read_to_end() == b""


async def test_an_empty_close_is_answered_with_1000(serving: Serving) -> None:
    async with await Client.open(serving.port) as client:
        client.send(frame(CLOSE))
        assert await client.read_close() == (1000, "")
        assert await client.read_to_end() == b""


async def test_frames_after_a_close_are_not_answered(serving: Serving) -> None:
    async with await Client.open(serving.port) as client:
        client.send(close(1000), frame(TEXT, b"late"))
        assert await client.read_frame() == (CLOSE, b"\x03\xe8")
        assert await client.read_to_end() == b""


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 2047, 2048, 65535, 65536, MAX])
async def test_a_message_of_any_allowed_size_passes(serving: Serving, size: int) -> None:
    async with await Client.open(serving.port) as client:
        client.send(frame(TEXT, b"x" * size))
        assert await client.read_text() == "x" * size


async def test_fragments_are_joined_and_a_character_may_lie_across_them(serving: Serving) -> None:
    text = "Grüße, 世界, 🌍"
    raw = text.encode()
    first, *middle = (raw[i : i + 1] for i in range(len(raw)))
    async with await Client.open(serving.port) as client:
        client.send(frame(TEXT, first, fin=False), *(frame(CONTINUATION, part, fin=False) for part in middle))
        client.send(frame(CONTINUATION))
        assert await client.read_text() == text


async def test_fragments_of_exactly_the_limit_pass(serving: Serving) -> None:
    async with await Client.open(serving.port) as client:
        client.send(frame(TEXT, b"a" * (MAX - 1), fin=False), frame(CONTINUATION, b"b"))
        assert await client.read_text() == "a" * (MAX - 1) + "b"


async def test_a_ping_between_fragments_is_answered_before_the_message(serving: Serving) -> None:
    async with await Client.open(serving.port) as client:
        client.send(frame(TEXT, b"one ", fin=False), frame(PING, b"alive?"), frame(CONTINUATION, b"two"))
        assert await client.read_frame() == (PONG, b"alive?")
        assert await client.read_text() == "one two"


async def test_a_frame_that_comes_byte_by_byte_is_read(serving: Serving) -> None:
    async with await Client.open(serving.port) as client:
        for byte in frame(TEXT, "ä".encode() * 100):
            client.send(bytes((byte,)))
            await client.writer.drain()
        assert await client.read_text() == "ä" * 100


async def test_an_unsolicited_pong_is_ignored(serving: Serving) -> None:
    async with await Client.open(serving.port) as client:
        client.send(frame(PONG, b"unsolicited"), frame(TEXT, b"still here"))
        assert await client.read_text() == "still here"


async def test_frames_in_the_handshakes_own_segment_are_not_lost(serving: Serving) -> None:
    async with await Client.tcp(serving.port) as client:
        status, _ = await client.handshake(request() + frame(TEXT, b"hasty") + frame(TEXT, b"twice"))
        assert status == 101
        assert [await client.read_text(), await client.read_text()] == ["hasty", "twice"]


async def test_compression_is_never_agreed_on(serving: Serving) -> None:
    async with await Client.tcp(serving.port) as client:
        _, headers = await client.handshake(request(Sec_WebSocket_Extensions="permessage-deflate"))
        assert "sec-websocket-extensions" not in headers


@pytest.mark.parametrize(
    "head, status",
    [
        (request(Sec_WebSocket_Key=None), 400),
        (request(Sec_WebSocket_Key=""), 400),
        (request(Sec_WebSocket_Key="not base64!"), 400),
        (request(Sec_WebSocket_Key="c2hvcnQ="), 400),
        (request(method="POST"), 400),
        (request(Content_Length="3"), 400),
        (request(Transfer_Encoding="chunked"), 400),
        (request(Sec_WebSocket_Version=None), 426),
        (request(Sec_WebSocket_Version="8"), 426),
        (request(Sec_WebSocket_Version="x"), 426),
        (request().replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
        (b"nonsense\r\n\r\n", 400),
    ],
)
async def test_a_bad_handshake_is_refused_and_closed(serving: Serving, head: bytes, status: int) -> None:
    async with await Client.tcp(serving.port) as client:
        answer, headers = await client.handshake(head)
        assert answer == status
        assert headers["connection"] == "close"
        if status == 426:
            assert headers["sec-websocket-version"] == "13"
        await client.read_to_end()


async def test_a_handshake_as_firefox_sends_it_is_accepted(serving: Serving) -> None:
    async with await Client.tcp(serving.port) as client:
        status, headers = await client.handshake(request(Connection="keep-alive, Upgrade", Upgrade="WebSocket"))
        assert status == 101
        assert headers["sec-websocket-accept"]


async def test_a_handshake_with_many_headers_is_accepted(serving: Serving) -> None:
    async with await Client.tcp(serving.port) as client:
        status, _ = await client.handshake(request(Cookie="c" * 9000))
        assert status == 101


async def test_no_connection_is_left_behind(serving: Serving) -> None:
    async with await Client.open(serving.port):
        pass
    await eventually(lambda: serving.connections == 0)

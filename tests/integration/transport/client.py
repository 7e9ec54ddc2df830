"""A WebSocket client that can break every rule: it writes and reads bytes."""

import asyncio
from base64 import b64encode
from contextlib import suppress
from typing import Any

from tests.integration.transport.serving import LIMIT_SECONDS

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA
KEY = b64encode(b"sixteen bytes ok").decode()
HEADERS = {
    **{"Host": "relay.test", "Upgrade": "websocket", "Connection": "Upgrade"},
    **{"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY},
}


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """A client's frame; the mask is not zero, so that unmasking is seen to work."""
    size = len(payload)
    bit = 0x80 if masked else 0
    head = bytes(((0x80 if fin else 0) | rsv << 4 | opcode,))
    if size < 126:
        head += bytes((bit | size,))
    elif size < 65536:
        head += bytes((bit | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((bit | 127,)) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    mask = b"\x0a\xfb\x3c\x77"
    stream = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ stream).to_bytes(size, "big")


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


def request(path: str = "/", method: str = "GET", **changed: str | None) -> bytes:
    """A handshake; `changed` headers have _ for -, None leaves one out."""
    headers: dict[str, str | None] = {**HEADERS, **{name.replace("_", "-"): value for name, value in changed.items()}}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode()


class Client:
    """One TCP connection. Every wait has a limit."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def tcp(cls, port: int, **options: Any) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", port, **options))

    @classmethod
    async def open(cls, port: int, path: str = "/") -> "Client":
        client = await cls.tcp(port)
        status, _ = await client.handshake(request(path))
        assert status == 101
        return client

    async def handshake(self, head: bytes) -> tuple[int, dict[str, str]]:
        """Send the request; the response's status and headers."""
        self.send(head)
        async with asyncio.timeout(LIMIT_SECONDS):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split(" ")[1]), {name.lower(): value for name, value in headers.items()}

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def read_frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(LIMIT_SECONDS):
            first, second = await self.reader.readexactly(2)
            assert first & 0xF0 == 0x80, "a server's frame is final, without reserved bits"
            assert second < 128, "a server's frame is not masked"
            size = second
            if second > 125:
                assert first & 0xF < 8, "a control frame is short"
                size = int.from_bytes(await self.reader.readexactly(2 if second == 126 else 8), "big")
            return first & 0xF, await self.reader.readexactly(size)

    async def read_text(self) -> str:
        opcode, payload = await self.read_frame()
        assert opcode == TEXT, (opcode, payload)
        return payload.decode()

    async def read_close(self) -> tuple[int, str]:
        """The close frame's code and reason, whatever messages come before it."""
        while True:
            opcode, payload = await self.read_frame()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    async def read_to_end(self) -> bytes:
        """All until the server closes; a reset ends it too."""
        async with asyncio.timeout(LIMIT_SECONDS):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Drop the connection; the server learns it before this returns to a test that then blocks its loop."""
        self.writer.transport.abort()
        with suppress(OSError):
            await self.writer.wait_closed()


async def eventually(true: Any) -> None:
    """Wait until `true()`; what other threads do has no event to await here."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while not true():
            await asyncio.sleep(0.01)

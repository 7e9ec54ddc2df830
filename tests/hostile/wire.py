"""A WebSocket client without manners or checks: whatever bytes it is given, as fast as the socket takes them.

    wire = await Wire.open(target, told)      # from target.source, or an address of its own
    await wire.text('["REQ","a",{}]')
    await wire.answers(1)                     # until so many EOSE, CLOSED and OK have come

What the relay says is counted in a `Told`, by its kind and sentence, without numbers.
"""

import asyncio
import base64
import contextlib
import json
import os
import re
import socket
from collections import Counter
from dataclasses import dataclass
from typing import Any

TEXT, PING, CONTINUATION = 0x1, 0x9, 0x0
CLOSE = 0x8
SAID = 70
"""Characters of a sentence that are kept."""

Told = Counter[str]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a relay listens on this machine, and the address that the attacker comes from."""

    port: int
    source: str = "127.0.0.3"
    hold_seconds: float = 2.0  # how long an attacker keeps what it has opened while the innocents go on


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """A client's frame; its mask is zero, so that nothing needs to be computed."""
    first = bytes([(0x80 if final else 0) | opcode])
    if len(payload) < 126:
        return first + bytes([0x80 | len(payload)]) + bytes(4) + payload
    if len(payload) < 2**16:
        return first + b"\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload
    return first + b"\xff" + len(payload).to_bytes(8, "big") + bytes(4) + payload


def text_of(*message: Any) -> bytes:
    """A message as compact JSON."""
    return json.dumps(message, separators=(",", ":")).encode()


def handshake(headers: str = "") -> bytes:
    """The request that opens a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{headers}\r\n"
    ).encode()


async def connect(
    target: Target, source: str = "", buffer: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TCP connection from an address of this machine; buffer: of the kernel for what arrives, in bytes."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if buffer:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    plain.setblocking(False)
    plain.bind((source or target.source, 0))
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", target.port))
    return await asyncio.open_connection(sock=plain, limit=2**22)


class Wire:
    """One WebSocket. `answered` counts EOSE, CLOSED and OK; `over` is set when the connection has ended."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, told: Told) -> None:
        self.told = told
        self.answered = 0
        self.over = asyncio.Event()
        self._reader = reader
        self._writer = writer
        self._news = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, target: Target, told: Told, *, source: str = "", headers: str = "", reads: bool = True
    ) -> "Wire":
        """A connection after its handshake; ConnectionError when it is refused. reads: False, it never reads again."""
        reader, writer = await connect(target, source, 0 if reads else 4_096)
        writer.write(handshake(headers))
        async with asyncio.timeout(30):
            head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            told[f"HTTP {head.split()[1].decode()}"] += 1
            writer.transport.abort()
            raise ConnectionRefusedError(head.split()[1].decode())
        wire = cls(reader, writer, told)
        if reads:
            wire._task = asyncio.create_task(wire._read())
        else:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            told["opened, never reads"] += 1
        return wire

    async def raw(self, data: bytes) -> bool:
        """Send bytes as they are; False when the connection has ended, or does not take them within ten seconds."""
        if self.over.is_set():
            return False
        self._writer.write(data)
        try:
            async with asyncio.timeout(10):
                await self._writer.drain()
        except (OSError, TimeoutError):
            return False
        return True

    async def text(self, *payloads: bytes) -> bool:
        """Send each payload as a text message, all in one write."""
        return await self.raw(b"".join(frame(TEXT, payload) for payload in payloads))

    async def answers(self, count: int, seconds: float) -> bool:
        """Wait until so many answers have come in all, the connection has ended, or the time is over (False)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: self.answered >= count or self.over.is_set())
                return True
        self.told["no answer in time"] += 1
        return False

    def abort(self) -> None:
        """Leave without a word."""
        if self._task is not None:
            self._task.cancel()
        self._writer.transport.abort()

    async def _read(self) -> None:
        try:
            while True:
                opcode, payload = await self._frame()
                if opcode == CLOSE:
                    self.told[f"closed with {int.from_bytes(payload[:2], 'big')}"] += 1
                    return
                if opcode == TEXT:
                    self._note(payload)
                    async with self._news:
                        self._news.notify_all()
        except (OSError, EOFError):
            self.told["cut off"] += 1
        finally:
            self.over.set()
            async with self._news:
                self._news.notify_all()

    async def _frame(self) -> tuple[int, bytes]:
        head = await self._reader.readexactly(2)
        size = head[1] & 0x7F
        if size > 125:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
        return head[0] & 0x0F, await self._reader.readexactly(size)

    def _note(self, payload: bytes) -> None:
        if payload.startswith(b'["EVENT"'):
            self.told["EVENT"] += 1
            return
        verb, *rest = json.loads(payload)
        self.answered += verb in {"EOSE", "CLOSED", "OK"}
        said = {"OK": rest[1:], "CLOSED": rest[1:], "NOTICE": rest}.get(verb, [])
        words = " ".join(str(part).lower() if part in (True, False) else str(part) for part in said)
        self.told[re.sub(r"\d+", "N", f"{verb} {words}".strip())[:SAID]] += 1

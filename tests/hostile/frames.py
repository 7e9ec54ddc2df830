"""Attacks below Nostr: frames, handshakes and HTTP."""

import asyncio
import contextlib
import os
import secrets
import urllib.parse
from contextlib import AsyncExitStack

from tests.hostile.reads import opened
from tests.hostile.wire import CONTINUATION, PING, TEXT, Target, Told, Wire, connect, frame, handshake, text_of

LOCALS = 200
"""Addresses of this machine that an attacker with a network has: 127.1.0.1 and following."""


def address(number: int) -> str:
    """An address of this machine; others for other numbers below LOCALS."""
    return f"127.1.0.{1 + number % LOCALS}"


async def still_answers(wire: Wire) -> None:
    """Wait until what was sent before has been worked off, if the connection is still there."""
    if await wire.text(text_of("REQ", "end", {"limit": 0})):
        await wire.answers(1, 30)


async def pings(target: Target, told: Told, size: int) -> None:
    """Send `size` pings of 125 bytes on each of four connections."""
    async with AsyncExitStack() as stack:

        async def run(wire: Wire) -> None:
            for _ in range(0, size, 200):
                await wire.raw(frame(PING, b"x" * 125) * 200)
            await still_answers(wire)

        await asyncio.gather(*(run(wire) for wire in await opened(stack, target, told, 4)))


async def unread_pings(target: Target, told: Told, size: int) -> None:
    """The same from clients that do not read the pongs."""
    async with AsyncExitStack() as stack:
        for wire in await opened(stack, target, told, 4, reads=False):
            for _ in range(0, size, 200):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await wire.raw(frame(PING, b"x" * 125) * 200)
        await asyncio.sleep(0.2)


async def one_byte_fragments(target: Target, told: Told, size: int) -> None:
    """Send a message of `size` bytes in fragments of one byte, on four connections."""
    async with AsyncExitStack() as stack:

        async def run(wire: Wire) -> None:
            await wire.raw(frame(TEXT, b'"', final=False))
            for _ in range(0, size, 1_000):
                await wire.raw(frame(CONTINUATION, b"x", final=False) * 1_000)
            await wire.raw(frame(CONTINUATION, b'"'))
            await still_answers(wire)

        await asyncio.gather(*(run(wire) for wire in await opened(stack, target, told, 4)))


async def unfinished_messages(target: Target, told: Told, size: int) -> None:
    """Send all but the last byte of a message of 1 MiB on `size` connections from many addresses, and wait."""
    async with AsyncExitStack() as stack:
        wires = [one for at in range(size) for one in await opened(stack, target, told, 1, source=address(at))]
        for wire in wires:
            told["sent"] += await wire.raw(frame(TEXT, b"x" * (2**20 - 100), final=False))
        await asyncio.sleep(target.hold_seconds)


async def garbage(target: Target, told: Told, size: int) -> None:
    """Send `size` messages of random bytes, broken JSON and unknown verbs on each of four connections."""
    async with AsyncExitStack() as stack:

        async def run(wire: Wire) -> None:
            for _ in range(size):
                await wire.text(
                    secrets.token_hex(50).encode(), b'["REQ"', b"[]", b'["EVENT",1]', b'["WHAT",{}]', b'["REQ","a",7]'
                )
            await still_answers(wire)

        wires = await opened(stack, target, told, 4)
        await asyncio.gather(*(run(wire) for wire in wires))
        for wire in await opened(stack, target, told, 4):
            await wire.raw(os.urandom(10_000))


async def handshakes(target: Target, told: Told, size: int) -> None:
    """Open `size` WebSockets at once from many addresses, and leave."""

    async def run(number: int) -> None:
        with contextlib.suppress(OSError, EOFError):
            wire = await Wire.open(target, told, source=address(number))
            told["opened"] += 1
            wire.abort()

    for first in range(0, size, 200):
        await asyncio.gather(*(run(number) for number in range(first, min(size, first + 200))))


async def forged_addresses(target: Target, told: Told, size: int) -> None:
    """Open `size` WebSockets from one address that claim to come from others, each with a subscription."""
    async with AsyncExitStack() as stack:

        async def claim(number: int) -> None:
            headers = f"X-Forwarded-For: 203.0.113.{number % 250}\r\nForwarded: for=198.51.100.{number % 250}\r\n"
            for wire in await opened(stack, target, told, 1, headers=headers):
                told["opened"] += 1
                await wire.text(text_of("REQ", "a", {"limit": 0}))

        for first in range(0, size, 50):
            await asyncio.gather(*(claim(number) for number in range(first, min(size, first + 50))))
        await asyncio.sleep(target.hold_seconds)


async def half_requests(target: Target, told: Told, size: int) -> None:
    """Send half a request on `size` connections from many addresses, a handshake cut short on every second."""
    async with AsyncExitStack() as stack:
        halves = (
            b"GET / HT",
            handshake()[:-4],
            b"POST /admin/login/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
        )
        readers = []
        for number in range(size):
            with contextlib.suppress(OSError):
                reader, writer = await connect(target, address(number))
                stack.callback(writer.transport.abort)
                writer.write(halves[number % 3])
                readers.append(reader)
        await asyncio.sleep(target.hold_seconds)
        told["cut off"] += sum(reader.at_eof() or reader.exception() is not None for reader in readers)
        told["left waiting"] += sum(not (reader.at_eof() or reader.exception()) for reader in readers)


async def ask(target: Target, told: Told, head: str, body: bytes = b"", source: str = "") -> None:
    """Send a request and count its status."""
    try:
        reader, writer = await connect(target, source)
    except OSError:
        told["no connection"] += 1
        return
    try:
        writer.write(f"{head}\r\n".encode())
        for first in range(0, len(body), 2**16):
            writer.write(body[first : first + 2**16])
            await writer.drain()
        async with asyncio.timeout(60):
            line = await reader.readline()
        told[f"HTTP {line.split()[1].decode()}" if line else "cut off"] += 1
    except (OSError, TimeoutError):
        told["cut off"] += 1
    finally:
        writer.transport.abort()


async def large_bodies(target: Target, told: Told, size: int) -> None:
    """Send eight bodies of `size` MB, half of them in chunks, to an address that does not exist."""
    one = b"x" * (size * 10**6)
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    head = "POST /nothing HTTP/1.1\r\nHost: a\r\n"
    whole = f"{head}Content-Length: {len(one)}\r\n"
    chunked = f"{head}Transfer-Encoding: chunked\r\n"
    chunks = chunk * (len(one) // 65_536)
    await asyncio.gather(*(ask(target, told, *((whole, one), (chunked, chunks))[at % 2]) for at in range(8)))


async def sign_ins(target: Target, told: Told, size: int) -> None:
    """Try `size` passwords at once, from one address."""
    token = "t" * 32

    def attempt(number: int) -> tuple[str, bytes]:
        fields = {"username": "admin", "password": f"wrong {number}", "csrfmiddlewaretoken": token}
        form = urllib.parse.urlencode(fields).encode()
        head = f"POST /admin/login/ HTTP/1.1\r\nHost: a\r\nCookie: csrftoken={token}\r\n"
        kind = "Content-Type: application/x-www-form-urlencoded\r\n"
        return f"{head}{kind}Content-Length: {len(form)}\r\n", form

    await asyncio.gather(*(ask(target, told, *attempt(number)) for number in range(size)))


async def session_cookies(target: Target, told: Told, size: int) -> None:
    """Ask for the admin `size` times at once with random session cookies, from many addresses."""
    await asyncio.gather(
        *(
            ask(
                target,
                told,
                f"GET /admin/ HTTP/1.1\r\nHost: a\r\nCookie: sessionid={secrets.token_hex(16)}\r\n",
                source=address(number),
            )
            for number in range(size)
        )
    )


async def public_pages(target: Target, told: Told, size: int) -> None:
    """Ask for the public pages `size` times, 50 at once, from many addresses."""
    paths = (
        "/",
        "/api/status",
        "/api/popular",
        "/health",
        "/ready",
        "/api/profiles?q=a",
        "/nothing",
        "/static/nothing",
    )
    for first in range(0, size, 50):
        numbers = range(first, min(size, first + 50))
        await asyncio.gather(
            *(
                ask(target, told, f"GET {paths[at % len(paths)]} HTTP/1.1\r\nHost: a\r\n", source=address(at))
                for at in numbers
            )
        )

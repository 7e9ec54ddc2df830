"""Fuzz over real sockets: whatever some clients send, the workers live and the neighbours get their answers.

The seed is in the message of a failure, and `FUZZ_SEED` repeats it. `FUZZ_SECONDS` sets how long it goes on.
"""

import asyncio
import contextlib
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.relay_process import RelayProcess, running

SECONDS = float(os.environ.get("FUZZ_SECONDS", "12"))
ATTACKERS = 6
ANSWER_SECONDS = 10.0
GOOD_PACE = 0.01  # seconds between the events of the good client

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TOKENS = [
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    '"',
    "\\",
    "\\u",
    "d800",
    "null",
    "1e999",
    "-",
    "\x00",
    "é",
    "\ud800",
    '["REQ"',
    '["EVENT",{',
]


def random_json(rng: random.Random, depth: int = 0) -> Any:
    kinds = rng.randrange(9 if depth < 4 else 6)
    if kinds == 6:
        return [random_json(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kinds >= 7:
        names = ["ids", "authors", "kinds", "#e", "#t", "since", "until", "limit", "id", "pubkey", "sig", "tags", "x"]
        return {rng.choice(names): random_json(rng, depth + 1) for _ in range(rng.randrange(5))}
    return rng.choice(
        [
            None,
            True,
            rng.randrange(-(2**70), 2**70),
            rng.random() * 1e300,
            "a" * rng.randrange(70),
            "",
            1,
            65_536,
            "0" * 64,
        ]
    )


def text_message(rng: random.Random, author: Author) -> bytes:
    """One message: noise, random JSON behind a verb, or a valid message with some bytes changed."""
    choice = rng.randrange(5)
    if choice == 0:
        return rng.randbytes(rng.randrange(300))
    if choice == 1:
        return "".join(rng.choices(TOKENS, k=rng.randrange(30))).encode(errors="surrogatepass")
    if choice == 2:
        verb = rng.choice(["EVENT", "REQ", "CLOSE", "AUTH", "COUNT", "NEG-OPEN"])
        return json.dumps([verb, *[random_json(rng) for _ in range(rng.randrange(4))]]).encode()
    valid = rng.choice(
        [
            [
                "EVENT",
                author.event("x", kind=rng.choice([0, 1, 5, 62, 20_001, 30_000]), tags=[["d"], ["e", "x"], ["t", "y"]]),
            ],
            ["REQ", f"s{rng.randrange(400)}", {"kinds": [1], "limit": 500}, {"#t": ["y"]}],
            ["CLOSE", f"s{rng.randrange(400)}"],
        ]
    )
    text = bytearray(json.dumps(valid).encode())
    for _ in range(rng.choice([0, 1, 1, 2, 8])):
        place, kept = rng.randrange(len(text)), rng.randrange(2)
        text[place : place + kept] = rng.randbytes(rng.randrange(2))
    return bytes(text)


def frame(rng: random.Random, payload: bytes, *, legal: bool) -> bytes:
    """A frame of a client; one that is not legal has a random first byte, mask bit or length."""
    first = 0x81 if legal else rng.randrange(256)
    size = len(payload)
    if not legal and rng.random() < 0.3:
        size = rng.choice([0, 1, 125, 65_535, 2**31, 2**63])
    mask_bit = 0x80 if legal or rng.random() < 0.8 else 0
    if size < 126:
        head = bytes((first, mask_bit | size))
    elif size < 2**16:
        head = bytes((first, mask_bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, mask_bit | 127)) + size.to_bytes(8, "big")
    mask = rng.randbytes(4)
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


async def attack(relay: RelayProcess, rng: random.Random, deadline: float) -> int:
    """One connection after the other, each until the relay or chance ends it; returns how many there were."""
    connections = 0
    author = Author()
    while time.monotonic() < deadline:
        connections += 1
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            await _one_connection(relay, rng, author, deadline)
    return connections


async def _one_connection(relay: RelayProcess, rng: random.Random, author: Author, deadline: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    reading = asyncio.create_task(_read(reader, reads=rng.random() < 0.8))
    try:
        if rng.random() < 0.1:
            writer.write(
                rng.choice(
                    [rng.randbytes(200), HANDSHAKE[: rng.randrange(len(HANDSHAKE))], HANDSHAKE.replace(b"13", b"7")]
                )
            )
        writer.write(HANDSHAKE)
        legal_share = rng.choice([1.0, 1.0, 0.95, 0.5])
        for _ in range(rng.randrange(1, 200)):
            if writer.is_closing() or reading.done() or time.monotonic() > deadline:
                break
            data = frame(rng, text_message(rng, author), legal=rng.random() < legal_share)
            cut = rng.randrange(len(data)) if rng.random() < 0.1 else len(data)
            writer.write(data[:cut])
            async with asyncio.timeout(0.5):
                await writer.drain()
            writer.write(data[cut:])
            await asyncio.sleep(0)
    finally:
        reading.cancel()
        end: Callable[[], None] = rng.choice([writer.transport.abort, writer.close])
        end()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(reader: asyncio.StreamReader, *, reads: bool) -> None:
    """Take what comes and forget it, until the end; some attackers never read."""
    if not reads:
        await asyncio.Event().wait()
    while await reader.read(65_536):
        pass


async def behave(relay: RelayProcess, deadline: float) -> int:
    """Publish and query until the deadline, on two connections; returns how many events were found and heard."""
    author = Author()
    done = 0
    async with Client(relay.ws_url) as writer, Client(relay.ws_url) as reader:
        await reader.request("live", author.events)
        while time.monotonic() < deadline:
            event = author.event(str(done))
            async with asyncio.timeout(ANSWER_SECONDS):
                assert (await writer.publish(event)).accepted
                assert (await reader.query({"ids": [event["id"]]})).events == [event]
                assert await reader.live("live") == event
            done += 1
            await asyncio.sleep(GOOD_PACE)
    return done


@pytest.fixture
def fuzzed(tmp_path: Path) -> Iterator[RelayProcess]:
    """A relay with two workers, for these tests alone."""
    with running(RelayProcess(tmp_path / "var", workers=2, roles="web,migrate")) as process:
        yield process


async def test_x_4_whatever_is_sent_the_workers_live_and_good_clients_are_served(fuzzed: RelayProcess) -> None:
    seed = int(os.environ.get("FUZZ_SEED") or random.randrange(2**32))
    workers = fuzzed.workers()
    deadline = time.monotonic() + SECONDS
    attacks = [attack(fuzzed, random.Random(seed + number), deadline) for number in range(ATTACKERS)]

    done, *connections = await asyncio.gather(behave(fuzzed, deadline), behave(fuzzed, deadline), *attacks)

    assert fuzzed.workers() == workers, f"FUZZ_SEED={seed}"
    assert done > 0
    assert all(number > 0 for number in connections)
    assert "Traceback" not in fuzzed.messages(), f"FUZZ_SEED={seed}\n{fuzzed.messages()[-5_000:]}"

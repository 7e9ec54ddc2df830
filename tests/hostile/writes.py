"""Attacks by EVENT: events that are costly to keep, to check, or to wait for."""

import asyncio
import json
import secrets
import string
import time
from contextlib import AsyncExitStack
from typing import Any

from tests.events import secret, sign_event, unsigned_event
from tests.hostile.reads import opened
from tests.hostile.wire import Target, Told, Wire, text_of

Json = dict[str, Any]

TAGS = 9_990
IN_FLIGHT = 20


def new_key() -> bytes:
    """A secret key that no other client has."""
    return secret(10**6 + secrets.randbelow(10**12))


async def publish(wire: Wire, events: list[Json]) -> None:
    """Send events, some at a time, and wait for all answers."""
    for number, event in enumerate(events):
        await wire.text(text_of("EVENT", event))
        await wire.answers(number + 1 - IN_FLIGHT, 30)
    await wire.answers(len(events), 60)


async def many_tags(target: Target, told: Told, size: int) -> None:
    """Publish `size` events of 9,990 short distinct tags, each of which is indexed: 120 KB each."""
    wire, key, now = await Wire.open(target, told), new_key(), int(time.time())
    salt = secrets.token_hex(2)
    for first in range(0, size, IN_FLIGHT):
        events = [
            await asyncio.to_thread(
                sign_event,
                key,
                created_at=now,
                content=str(number),
                tags=[[string.ascii_letters[at % 52], f"{salt}{number * TAGS + at:x}"] for at in range(TAGS)],
            )
            for number in range(first, min(size, first + IN_FLIGHT))
        ]
        for number, event in enumerate(events, first):
            await wire.text(text_of("EVENT", event))
            await wire.answers(number + 1 - IN_FLIGHT, 60)
    await wire.answers(size, 120)
    wire.abort()


async def requests_behind_events(target: Target, told: Told, size: int) -> None:
    """Send `size` tiny EVENTs without waiting; every 100 of them a REQ, behind them, which replaces the one before."""
    async with AsyncExitStack() as stack:
        for wire in await opened(stack, target, told, 2):
            for first in range(0, size, 100):
                tiny = [text_of("EVENT", {"id": secrets.token_hex(32)}) for _ in range(100)]
                if not await wire.text(*tiny, text_of("REQ", "same", {"kinds": [1], "limit": 1 + first % 100})):
                    break
            await wire.answers(1, 20)


async def pending_events(target: Target, told: Told, size: int) -> None:
    """The same with valid events, so that the REQs wait for their writing."""
    key, now = new_key(), int(time.time())
    events = await asyncio.to_thread(
        lambda: [sign_event(key, content=f"{now} {number}", created_at=now) for number in range(size)]
    )
    wire = await Wire.open(target, told)
    for event in events:
        if not await wire.text(text_of("EVENT", event), text_of("REQ", "same", {"ids": [event["id"]]})):
            break
    await wire.answers(size, 30)
    wire.abort()


async def bad_signatures(target: Target, told: Told, size: int) -> None:
    """Publish `size` notes on each of four connections whose signatures are wrong."""
    sound = sign_event(new_key(), created_at=int(time.time()))
    async with AsyncExitStack() as stack:

        async def run(wire: Wire) -> None:
            for number in range(size):
                wrong = unsigned_event(pubkey=sound["pubkey"], content=str(number), created_at=sound["created_at"])
                await wire.text(text_of("EVENT", wrong | {"sig": sound["sig"]}))
            await wire.answers(size, 30)

        await asyncio.gather(*(run(wire) for wire in await opened(stack, target, told, 4)))


async def ephemerals(target: Target, told: Told, size: int) -> None:
    """Publish `size` ephemeral events of 60 KB, which each of 50 subscriptions of the same client gets."""
    key, now = new_key(), int(time.time())
    events = await asyncio.to_thread(
        lambda: [sign_event(key, kind=20_001, content=f"{at:06}" + "x" * 60_000, created_at=now) for at in range(size)]
    )
    async with AsyncExitStack() as stack:
        wire, reading = await opened(stack, target, told, 2)
        await reading.text(*(text_of("REQ", f"s{at}", {"kinds": [20_001]}) for at in range(50)))
        await reading.answers(50, 20)
        await wire.text(*(text_of("EVENT", event) for event in events))
        await wire.answers(size, 30)


async def same_event(target: Target, told: Told, size: int) -> None:
    """Send the same new event from 90 connections at once, `size` times."""
    key, now = new_key(), int(time.time())
    async with AsyncExitStack() as stack:
        wires = await opened(stack, target, told, 90)
        for turn in range(size):
            event = text_of("EVENT", sign_event(key, content=str(turn), created_at=now))
            await asyncio.gather(*(wire.text(event) for wire in wires))
            await asyncio.gather(*(wire.answers(turn + 1, 20) for wire in wires))


async def new_versions(target: Target, told: Told, size: int) -> None:
    """Publish `size` versions of one replaceable event, each newer than the one before."""
    key, now = new_key(), int(time.time())
    events = await asyncio.to_thread(
        lambda: [sign_event(key, kind=10_002, content="x" * 5_000, created_at=now - size + at) for at in range(size)]
    )
    wire = await Wire.open(target, told)
    await publish(wire, events)
    wire.abort()


async def wide_deletions(target: Target, told: Told, size: int) -> None:
    """Publish `size` deletions of 9,000 unknown ids each."""
    key, now = new_key(), int(time.time())
    wire = await Wire.open(target, told)
    for turn in range(size):
        tags = [["e", secrets.token_hex(32)] for _ in range(9_000)]
        event = await asyncio.to_thread(sign_event, key, kind=5, tags=tags, created_at=now)
        await wire.text(text_of("EVENT", event))
        await wire.answers(turn + 1 - 4, 60)
    await wire.answers(size, 60)
    wire.abort()


async def deep_tags(target: Target, told: Told, size: int) -> None:
    """Send `size` events whose tags are arrays in arrays, 100,000 deep, and as many of 300,000 empty tags."""
    wire = await Wire.open(target, told)
    event = sign_event(new_key(), created_at=int(time.time()))
    fixed = {"tags": "@"}
    for _ in range(size):
        for tags in (
            "[" * 100_000 + "]" * 100_000,
            "[" + "[]," * 300_000 + "[]]",
            '[["t","a"' + ',"b"' * 200_000 + "]]",
        ):
            await wire.text(text_of("EVENT", event | fixed).replace(b'"@"', tags.encode()))
    await asyncio.sleep(0.3)
    wire.abort()


async def deep_json(target: Target, told: Told, size: int) -> None:
    """Send `size` messages of arrays in arrays and objects in objects, 200,000 deep."""
    wire = await Wire.open(target, told)
    for _ in range(size):
        await wire.text(b"[" * 200_000 + b"]" * 200_000)
        await wire.text(b'["REQ","a",' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]")
    await wire.text(json.dumps(["REQ", "end", {"limit": 0}]).encode())
    await wire.answers(1, 20)
    wire.abort()

"""Attacks by REQ: costly queries, answers that are too large, subscriptions that cost at each event.

Each takes the target, what to count in, and a size, and ends by itself.
"""

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

from tests.events import secret, sign_event
from tests.hostile.wire import Target, Told, Wire, text_of

FILTERS = 20
SUBSCRIPTIONS = 300

Json = dict[str, Any]


async def opened(stack: AsyncExitStack, target: Target, told: Told, count: int, **options: Any) -> list[Wire]:
    """Connections that are cut when the stack ends; those that are refused are counted and left out."""
    wires: list[Wire] = []
    for _ in range(count):
        try:
            wires.append(await Wire.open(target, told, **options))
        except (OSError, EOFError):
            continue
        stack.callback(wires[-1].abort)
    return wires


async def filters_of_other_times(target: Target, told: Told, size: int) -> None:
    """Open 300 subscriptions of 20 filters on each of `size` connections, none of which ever matches; be silent."""
    async with AsyncExitStack() as stack:
        wires = await opened(stack, target, told, size)

        async def subscribe(number: int, wire: Wire) -> None:
            for subscription in range(SUBSCRIPTIONS):
                first = 2**62 + (number * SUBSCRIPTIONS + subscription) * FILTERS
                filters = [{"kinds": [1], "since": first + at, "limit": 0} for at in range(FILTERS)]
                await wire.text(text_of("REQ", f"s{subscription}", *filters))
            await wire.answers(SUBSCRIPTIONS, 60)

        await asyncio.gather(*(subscribe(number, wire) for number, wire in enumerate(wires)))
        await asyncio.sleep(target.hold_seconds)


async def filters_under_popular_values(target: Target, told: Told, size: int) -> None:
    """Open as many subscriptions whose filters all match each new note of any author, and read what comes."""
    async with AsyncExitStack() as stack:
        wires = await opened(stack, target, told, size)
        for wire in wires:
            many = [text_of("REQ", f"s{number}", {"kinds": [1], "limit": 0}) for number in range(SUBSCRIPTIONS)]
            await wire.text(*many)
        await asyncio.gather(*(wire.answers(SUBSCRIPTIONS, 60) for wire in wires))
        await asyncio.sleep(target.hold_seconds)


async def many_values(target: Target, told: Told, size: int) -> None:
    """Subscribe to `size` times 30,000 values of a tag on one connection, then leave all at once."""
    wire = await Wire.open(target, told)
    for number in range(size):
        values = [f"{number}.{value:x}" for value in range(30_000)]
        await wire.text(text_of("REQ", f"s{number}", {"#t": values, "limit": 0}))
    await wire.answers(size, 60)
    wire.abort()
    await asyncio.sleep(0.5)


async def ten_thousand_hashtags(target: Target, told: Told, size: int) -> None:
    """Ask for stored events with any of 10,000 hashtags, again and again with others, on four connections."""
    async with AsyncExitStack() as stack:
        wires = await opened(stack, target, told, 4)

        async def ask(place: int, wire: Wire) -> None:
            for number in range(size):
                values = [f"{place}.{number}.{value}" for value in range(10_000)]
                await wire.text(text_of("REQ", f"s{number % SUBSCRIPTIONS}", {"#t": values}))
            await wire.answers(size, 30)

        await asyncio.gather(*(ask(place, wire) for place, wire in enumerate(wires)))


def costly(number: int) -> Iterator[Json]:
    """Filters that walk far and find little, each time others."""
    now = int(time.time())
    value = f"{number:064x}"
    yield {"kinds": [6], "#p": [value], "until": now - number}
    yield {"kinds": [6], "until": now - number}
    yield {"#t": ["popular"], "#x": [f"none{number}"]}
    yield {"authors": [value], "kinds": [*range(number % 100, number % 100 + 30)], "until": now - number}


async def costly_reads(target: Target, told: Told, size: int) -> None:
    """On four connections `size` REQs of 20 filters that walk far, none equal to another."""
    async with AsyncExitStack() as stack:
        wires = await opened(stack, target, told, 4)

        async def ask(place: int, wire: Wire) -> None:
            for number in range(size):
                first = (place * size + number) * FILTERS
                filters = [each for at in range(FILTERS // 4) for each in costly(first + at)]
                await wire.text(text_of("REQ", f"s{number % SUBSCRIPTIONS}", *filters))
            await wire.answers(min(size, SUBSCRIPTIONS), 30)

        await asyncio.gather(*(ask(place, wire) for place, wire in enumerate(wires)))


async def variations(target: Target, told: Told, size: int) -> None:
    """300 subscriptions of 20 filters on `size` connections, all of them other ones of the newest notes."""
    now = int(time.time())
    async with AsyncExitStack() as stack:
        wires = await opened(stack, target, told, size)

        async def ask(place: int, wire: Wire) -> None:
            for number in range(SUBSCRIPTIONS):
                first = (place * SUBSCRIPTIONS + number) * FILTERS
                filters = [
                    {"kinds": [1], "since": now - 10**6 - first - at, "until": now - first - at, "limit": 20}
                    for at in range(FILTERS)
                ]
                await wire.text(text_of("REQ", f"s{number}", *filters))
            await wire.answers(SUBSCRIPTIONS, 30)

        await asyncio.gather(*(ask(place, wire) for place, wire in enumerate(wires)))


async def replaced_requests(target: Target, told: Told, size: int) -> None:
    """Replace one subscription again and again by REQs of other filters, without waiting for an answer."""
    now = int(time.time())
    async with AsyncExitStack() as stack:
        for wire in await opened(stack, target, told, 4):
            for number in range(0, size, 100):
                numbers = range(number, number + 100)
                await wire.text(*(text_of("REQ", "same", {"kinds": [1], "until": now - each}) for each in numbers))
            await wire.answers(1, 10)
            await asyncio.sleep(0.1)


async def requests_and_closes(target: Target, told: Told, size: int) -> None:
    """Open a subscription and close it at once, `size` times on each of four connections."""
    async with AsyncExitStack() as stack:
        wires = await opened(stack, target, told, 4)

        async def run(wire: Wire) -> None:
            for number in range(0, size, 50):
                pairs = [
                    (text_of("REQ", "a", {"authors": [f"{each:064x}"]}), text_of("CLOSE", "a"))
                    for each in range(number, number + 50)
                ]
                await wire.text(*(one for pair in pairs for one in pair))
            await wire.text(text_of("REQ", "end", {"limit": 0}))
            await wire.answers(1, 20)

        await asyncio.gather(*(run(wire) for wire in wires))


async def store_large(target: Target, told: Told, size: int) -> str:
    """Store `size` events of 384 KB; returns their author."""
    wire = await Wire.open(target, told)
    key = secret(900_000 + secrets.randbelow(10**6))
    begin = int(time.time())
    event: Json = {}
    for number in range(size):
        content = f"{number:06}".ljust(131_072, "\u20ac")
        event = await asyncio.to_thread(sign_event, key, content=content, created_at=begin - number)
        await wire.text(text_of("EVENT", event))
        await wire.answers(number + 1 - 8, 30)
    await wire.answers(size, 30)
    wire.abort()
    return str(event["pubkey"])


async def large_answers(target: Target, told: Told, size: int) -> None:
    """Store `size` events of 384 KB; ask for all of them by each of 20 filters, on four connections that read."""
    author = await store_large(target, told, size)
    async with AsyncExitStack() as stack:
        wires = await opened(stack, target, told, 4)
        for wire in wires:
            filters = [{"authors": [author], "since": at} for at in range(FILTERS)]
            await wire.text(text_of("REQ", "all", *filters))
        await asyncio.gather(*(wire.answers(1, 60) for wire in wires))


async def large_answers_unread(target: Target, told: Told, size: int) -> None:
    """Store `size` events of 384 KB; on 50 connections ask for them in 20 subscriptions each, and never read."""
    author = await store_large(target, told, size)
    async with AsyncExitStack() as stack:
        for wire in await opened(stack, target, told, 50, reads=False):
            await wire.text(*(text_of("REQ", f"s{at}", {"authors": [author], "since": at}) for at in range(20)))
        await asyncio.sleep(target.hold_seconds)


async def unread_subscriptions(target: Target, told: Told, size: int) -> None:
    """On `size` connections open 300 subscriptions of everything, publish large events, and never read."""
    async with AsyncExitStack() as stack:
        for wire in await opened(stack, target, told, size, reads=False):
            await wire.text(*(text_of("REQ", f"s{at}", {"limit": 0}) for at in range(SUBSCRIPTIONS)))
        await store_large(target, told, size)
        await asyncio.sleep(target.hold_seconds)

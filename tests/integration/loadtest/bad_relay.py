"""Relays that behave badly, one way each, over the websockets library."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

Answer = Callable[[ServerConnection, list[Any]], Awaitable[None]]


@asynccontextmanager
async def bad_relay(answer: Answer) -> AsyncIterator[str]:
    """A relay that calls `answer` for every message; gives its URL."""

    async def converse(connection: ServerConnection) -> None:
        async for raw in connection:
            await answer(connection, json.loads(raw))

    async with serve(converse, "127.0.0.1", 0, compression=None) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def say(connection: ServerConnection, *message: Any) -> None:
    await connection.send(json.dumps(message))


async def good(connection: ServerConnection, message: list[Any]) -> None:
    """Takes everything, holds nothing; JSON with spaces, as some relays write it."""
    if message[0] == "EVENT":
        await say(connection, "OK", message[1]["id"], True, "")
    elif message[0] == "REQ":
        await say(connection, "EOSE", message[1])


async def silent(connection: ServerConnection, message: list[Any]) -> None:
    """Never answers."""


async def closing(connection: ServerConnection, message: list[Any]) -> None:
    """Closes at the first message."""
    await connection.close(4000, "go away")


async def dropping(connection: ServerConnection, message: list[Any]) -> None:
    """Drops the line at the first message."""
    connection.transport.abort()


async def refusing(connection: ServerConnection, message: list[Any]) -> None:
    """Wants authentication of every client."""
    await say(connection, "AUTH", "challenge")
    if message[0] == "EVENT":
        await say(connection, "OK", message[1]["id"], False, "auth-required: who are you")
    elif message[0] == "REQ":
        await say(connection, "CLOSED", message[1], "auth-required: who are you")


GARBAGE: list[str | bytes] = [
    "",
    "[",
    "{}",
    "[]",
    "null",
    '["OK"]',
    '["OK","a"]',
    '["OK","a","yes"]',
    '["OK",7,true,""]',
    '["EOSE",{}]',
    '["PARTY","a"]',
    '["EVENT","live"',
    "[" * 5_000,
    b"\xff\x00",
]


async def babbling(connection: ServerConnection, message: list[Any]) -> None:
    """Sends garbage, notices and pings before each answer, and unsolicited answers."""
    for data in GARBAGE:
        await connection.send(data)
    await say(connection, "NOTICE", "I am chatty")
    await say(connection, "NOTICE")
    await say(connection, "OK", "f" * 64, True, "")
    await (await connection.ping())
    await connection.send(['["NOT', 'ICE","in ', 'fragments"]'])
    await good(connection, message)


async def echoing_twice(connection: ServerConnection, message: list[Any]) -> None:
    """Delivers every event twice, with numbers of no event as well, on the connection that published it."""
    if message[0] == "EVENT":
        event = message[1]
        for _ in range(2):
            await say(connection, "EVENT", "live", event)
        for number in ("99999999", "-0000001", "x", ""):
            text = json.dumps(event).replace(event["tags"][-1][1][-8:], number)
            await connection.send(f'["EVENT","live",{text}]')
        await say(connection, "EVENT", "live", event | {"tags": []})
    await good(connection, message)


async def never_ready(connection: ServerConnection, message: list[Any]) -> None:
    """Takes events, and lets every query wait for ever."""
    if message[0] == "EVENT":
        await good(connection, message)
    await asyncio.sleep(0)

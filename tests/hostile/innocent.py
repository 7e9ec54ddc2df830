"""Ordinary clients, which publish a note and ask for notes in turn, and keep how long each answer took.

    async with innocents(port) as waits:      # Waits, filled until the block ends
        ...
    waits.ok, waits.req                       # seconds, each

A request without an answer within PROMISED_SECONDS is noted in `waits.late`; its client goes on with a new connection.
"""

import asyncio
import contextlib
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from websockets.exceptions import WebSocketException

from tests.acceptance.author import Author
from tests.acceptance.client import Client

ADDRESSES = "127.0.2.{}"
"""One for each client, which stays within the rate limits of an address."""
CLIENTS = 4
PAUSE_SECONDS = 0.05
PROMISED_SECONDS = 5.0
"""RELAY_QUERY_SECONDS: what a client may wait for EOSE."""


@dataclass(slots=True)
class Waits:
    """Seconds from a request to its answer, and what went wrong."""

    ok: list[float] = field(default_factory=list)
    req: list[float] = field(default_factory=list)
    late: list[str] = field(default_factory=list)


def p95(waits: Sequence[float]) -> float:
    """The 95th percentile; not a number without waits."""
    if len(waits) < 2:
        return waits[0] if waits else float("nan")
    return statistics.quantiles(waits, n=20)[18]


@contextlib.asynccontextmanager
async def innocents(port: int, clients: int = CLIENTS) -> AsyncIterator[Waits]:
    """Run the clients while the block runs; at its end each finishes the request that it has begun."""
    waits, over = Waits(), asyncio.Event()
    tasks = [asyncio.create_task(_live(port, ADDRESSES.format(number + 1), waits, over)) for number in range(clients)]
    try:
        yield waits
    finally:
        over.set()
        await asyncio.gather(*tasks)


async def _live(port: int, address: str, waits: Waits, over: asyncio.Event) -> None:
    author = Author()
    while not over.is_set():
        doing = ["connect"]
        try:
            async with Client(
                f"ws://127.0.0.1:{port}", local_addr=(address, 0), open_timeout=PROMISED_SECONDS
            ) as client:
                while not over.is_set():
                    await _turn(client, author, waits, doing)
                    await asyncio.sleep(PAUSE_SECONDS)
        except (TimeoutError, OSError, WebSocketException) as error:
            waits.late.append(f"{doing[0]}: {type(error).__name__} {error}")


async def _turn(client: Client, author: Author, waits: Waits, doing: list[str]) -> None:
    note = author.event(secrets.token_hex(8))
    doing[0] = "EVENT"
    begin = time.perf_counter()
    await client.send("EVENT", note)
    answer = await client.receive(lambda message: message[:2] == ["OK", note["id"]], PROMISED_SECONDS)
    waits.ok.append(time.perf_counter() - begin)
    if not answer[2]:
        waits.late.append(f"EVENT: {answer[3]}")
    # Memory answers the first; nothing kept can answer the other one.
    for query in ({**author.events, "limit": 20}, {"authors": [secrets.token_hex(32)], "until": 10**9, "limit": 5}):
        await _ask(client, query, waits, doing)


async def _ask(client: Client, query: dict[str, object], waits: Waits, doing: list[str]) -> None:
    doing[0] = f"REQ {sorted(query)}"
    begin = time.perf_counter()
    await client.send("REQ", "mine", query)
    message = await client.receive(lambda message: message[0] in {"EOSE", "CLOSED"}, PROMISED_SECONDS)
    waits.req.append(time.perf_counter() - begin)
    client.unread.clear()
    if message[0] == "CLOSED":
        waits.late.append(f"REQ: {message[2]}")
    else:
        await client.send("CLOSE", "mine")

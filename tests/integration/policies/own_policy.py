"""Policies as an operator writes them, in both forms."""

import asyncio
import sys
import time
from typing import Any

from relay.policies.source import Source
from relay.policies.verdict import SHADOW, EventView


def check(event: EventView, source: Source) -> Any:
    """A plain function: it may block."""
    return decide(event, source)


async def check_async(event: EventView, source: Source) -> Any:
    """A coroutine function: it must not block."""
    if event.content == "wait":
        await asyncio.sleep(60)
    await asyncio.sleep(0)
    return decide(event, source)


def decide(event: EventView, source: Source) -> Any:
    if event.content == "block":
        time.sleep(0.5)
    if event.content == "exit":
        sys.exit(3)
    if event.content == "surrogate":
        return "half \ud800"
    if event.content == "change":
        event.content = "other"  # type: ignore[misc]
    return {"no": False, "why": "rate-limited: slowly", "shadow": SHADOW, "where": source.address, "odd": 7}.get(
        event.content
    )

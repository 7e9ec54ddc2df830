"""What an operator can do with the caches, in the admin and with `manage.py cache`: clear and warm them.

Both functions run an event loop of their own: call them in a thread, never in a loop. Rule: neither changes an answer,
nor touches keys that are no copies (the figures of the workers).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hiredis import ReplyError

from relay.caching.clearing import NAMES, clear_everywhere
from relay.caching.registry import Layer
from relay.caching.shared import Shared, Unavailable
from relay.conf import config
from relay.services.warming import Tell, Warmed, Warming
from relay.storage.primary import Heartbeat, Primary
from relay.storage.reads import Reads

CONNECT_SECONDS = 3.0
TIMEOUT_SECONDS = 1.0
LAYERS = (Layer.L1.value, Layer.L2.value)
"""The layers that can be cleared; the third is the database."""

NO_CACHE = "there is no shared cache: CACHE_URL is not set, and no relay runs on this data folder"

__all__ = ["LAYERS", "NAMES", "NO_CACHE", "CachesUnavailable", "Warmed", "clear", "warm"]


class CachesUnavailable(Exception):
    """the shared cache does not answer"""


def clear(name: str | None, layer: str | None, settle_seconds: float = 0.0) -> int:
    """Clear the cache `name` (one of NAMES; None: all) in `layer` ("L1", "L2"; None: both), in every instance.

    Returns how many keys of the shared cache were deleted. Processes clear L1 within about a second, and until then may
    write copies to L2 again; with `settle_seconds` above two, L2 is cleared once more after that time. Raises
    ValueError for an unknown name or layer, CachesUnavailable if the shared cache does not answer: then no process may
    have read the order.
    """
    if name is not None and name not in NAMES:
        raise ValueError(f"there is no cache named {name[:50]!r}: there are {', '.join(NAMES)}")
    if layer is not None and layer not in LAYERS:
        raise ValueError(f"there is no layer {layer[:50]!r} that can be cleared: there are {' and '.join(LAYERS)}")
    return asyncio.run(_clear(name, None if layer is None else Layer(layer), settle_seconds))


async def _clear(name: str | None, layer: Layer | None, settle_seconds: float) -> int:
    async with _shared() as shared:
        store = (await _heartbeat()).store.name
        gone = await clear_everywhere(shared, store, name, layer)
        if settle_seconds and layer is None:
            await asyncio.sleep(settle_seconds)
            gone += await clear_everywhere(shared, store, name, Layer.L2)
        return gone


def warm(tell: Tell, done: Warmed | None = None) -> Warmed:
    """Fill the shared cache with what clients will ask for (relay.services.warming); returns what was written.

    `tell` is called before each step. A caller that may be interrupted passes `done`, which is updated while it runs.
    Raises CachesUnavailable, and Failed if the database does not answer.
    """
    return asyncio.run(_warm(tell, done or Warmed()))


async def _warm(tell: Tell, done: Warmed) -> Warmed:
    async with _shared() as shared:
        store = (await _heartbeat()).store
        reads = Reads.of_primary(1, config().query_seconds)
        reads.open()
        try:
            await reads.until_connected(CONNECT_SECONDS)
            await Warming(shared, reads, store.name, config().limits, done).run(tell)
        finally:
            await reads.close()
    return done


async def _heartbeat() -> Heartbeat:
    """The store and its position. Raises Failed if the database does not answer in time."""
    primary = Primary(config().query_seconds)
    primary.open()
    try:
        await primary.until_connected(CONNECT_SECONDS)
        return await primary.heartbeat()
    finally:
        await primary.close()


@asynccontextmanager
async def _shared() -> AsyncIterator[Shared]:
    """The shared cache, connected. Raises CachesUnavailable if it does not answer, now or within the block."""
    url = config().cache_url
    if not url:
        raise CachesUnavailable(NO_CACHE)
    shared = Shared(url, TIMEOUT_SECONDS)
    await shared.start()
    try:
        await _connected(shared)
        yield shared
    except (Unavailable, ReplyError) as error:
        raise CachesUnavailable(f"the shared cache does not answer: {error}") from error
    finally:
        await shared.stop()


async def _connected(shared: Shared) -> None:
    deadline = asyncio.get_running_loop().time() + CONNECT_SECONDS
    while not shared.up:
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable(f"no connection within {CONNECT_SECONDS:g} s")
        await asyncio.sleep(0.01)

"""What an operator may do with the caches: clear them, warm them. For the admin and `manage.py cache`.

Both are synchronous, with a loop of their own: call them in a thread, never in a loop. Rule: neither changes an answer,
and neither touches what is no copy: the barrier's keys and the figures of the workers.
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
"""Those that can be cleared; the third is the database."""

NO_CACHE = "there is no shared cache: CACHE_URL is not set, and no relay runs on this data folder"

__all__ = ["LAYERS", "NAMES", "NO_CACHE", "CachesUnavailable", "Warmed", "clear", "warm"]


class CachesUnavailable(Exception):
    """the shared cache does not answer"""


def clear(name: str | None, layer: str | None, settle_seconds: float = 0.0) -> int:
    """Clear the cache `name` (one of NAMES; None: every one) of `layer` ("L1", "L2"; None: both), in every instance.

    Returns how many keys of the shared cache went. The first layer follows by an order that each process looks for once
    a second; until then a process may write a copy of its own to the shared cache again. With `settle_seconds` above
    two it is waited so long for them, and the shared cache is cleared once more. Raises ValueError for a name or layer
    that does not exist, CachesUnavailable when the shared cache does not answer: then no process may have heard the order.
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
    """Fill the shared cache with what will be asked for (relay.services.warming); returns what was written.

    `tell` is called before each step. Whoever may be interrupted hands in `done`, which says how far it came. Raises
    CachesUnavailable, and Failed when the database does not answer.
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
    """The place in the order. Raises Failed when the database does not answer in time."""
    primary = Primary(config().query_seconds)
    primary.open()
    try:
        await primary.until_connected(CONNECT_SECONDS)
        return await primary.heartbeat()
    finally:
        await primary.close()


@asynccontextmanager
async def _shared() -> AsyncIterator[Shared]:
    """The shared cache, connected. Raises CachesUnavailable when it does not answer, at the begin or within."""
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

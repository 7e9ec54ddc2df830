"""Clearing the caches of every process: an order in the shared cache that each process looks at once a second.

An order is a value of its own for each cache; a process that sees another one than it saw last clears what it means.
Rule: an order changes what answers cost, never the answers, so it may be lost with the shared cache and nothing breaks.
"""

import asyncio
import secrets
import time

from hiredis import ReplyError

from relay.caching.registry import Layer, Registry, registry
from relay.caching.shared import Away, Shared

ORDERS = b"relay:1:{caches}:cleared"
"""A hash: the name of a cache, or EVERY, and the last order to clear its first layer."""

EVERY = "*"
LOOK_SECONDS = 1.0
KEEP_SECONDS = 86_400
SKEW_SECONDS = 5.0
"""By so much clocks may differ: an order that is a little older than a process may be younger."""

PREFIXES = {"results": b"relay:1:r:{*", "events": b"relay:1:e:{*", "profiles": b"relay:1:p:{*"}
"""What each cache keeps in the shared one. Neither the barrier's keys nor the workers' figures are among them."""

NAMES = ("window", "feeds", *PREFIXES)


async def clear_everywhere(shared: Shared, name: str | None, layer: Layer | None) -> int:
    """Clear a cache (None: each) of a layer (None: both); returns how many keys of the shared cache went.

    The first layer follows within a second or two. Raises Away, or ReplyError for what the server refuses.
    """
    if layer in (None, Layer.L1):
        order = f"{time.time():.3f} {secrets.token_hex(4)}"
        await shared.call(ORDERS, b"HSET", ORDERS, name or EVERY, order)
        await shared.call(ORDERS, b"EXPIRE", ORDERS, KEEP_SECONDS)
    gone = 0
    if layer in (None, Layer.L2):
        for owner, pattern in PREFIXES.items():
            if name in (None, owner):
                gone += await shared.delete_matching(pattern)
    return gone


class Clearing:
    """Follows the orders in one process. `followed` counts them."""

    def __init__(self, shared: Shared, caches: Registry = registry) -> None:
        self.followed = 0
        self._began = time.time()
        self._shared = shared
        self._caches = caches
        self._seen: dict[bytes, bytes] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look; needs a running loop."""
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="relay clearing")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            orders = await self._orders()
            if orders is not None:
                self._obey(orders)
            await asyncio.sleep(LOOK_SECONDS)

    def _obey(self, orders: dict[bytes, bytes]) -> None:
        if self._seen is None:  # of what was ordered before this process began it has nothing
            self._seen = {name: order for name, order in orders.items() if _time(order) < self._began}
        seen, self._seen = self._seen, orders
        for name in [name for name, order in orders.items() if seen.get(name) != order]:
            self.followed += 1
            self._caches.clear(None if name == EVERY.encode() else name.decode("utf-8", "replace"))

    async def _orders(self) -> dict[bytes, bytes] | None:
        try:
            reply = await self._shared.call(ORDERS, b"HGETALL", ORDERS)
        except (Away, ReplyError):
            return None
        return dict(zip(reply[::2], reply[1::2], strict=True)) if isinstance(reply, list) else None


def _time(order: bytes) -> float:
    """When it was given, by the clock of whoever gave it; 0 for what is no order."""
    try:
        return float(order.split()[0]) + SKEW_SECONDS
    except (ValueError, IndexError):
        return 0.0

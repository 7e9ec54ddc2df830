"""Clearing the caches of every process: each process polls a hash in the shared cache once a second.

The hash has a random value for each cache; a process that sees a new value clears that cache. Rule: clearing changes
the cost of answers, never the answers, so an order that is lost with the shared cache does no harm.
"""

import asyncio
import secrets
import time
from collections.abc import Callable

from hiredis import ReplyError

from relay.background import BackgroundTasks, Task, cancel
from relay.caching.record import FORMAT, key_pattern
from relay.caching.registry import Layer, Registry, registry
from relay.caching.shared import Shared, Unavailable
from relay.storage.store import Store

EVERY = "*"
LOOK_SECONDS = 1.0
KEEP_SECONDS = 86_400
SKEW_SECONDS = 5.0
"""Largest clock difference between hosts: an order stamped so little before a process started is still followed."""

SHARED_NAMES = ("results", "events", "profiles")
"""The caches that have a second layer in the shared cache."""

NAMES = ("window", *SHARED_NAMES)


def orders_key(store: str) -> bytes:
    """The key of the hash: name of a cache, or EVERY, to its last order. `store` is `Store.name`."""
    return f"relay:{FORMAT}:{{{store}}}:cleared".encode()


async def clear_everywhere(shared: Shared, store: str, name: str | None, layer: Layer | None) -> int:
    """Clear a cache (None: all) in a layer (None: both); returns how many keys of the shared cache were deleted.

    Processes clear their first layer within about two seconds. Raises Unavailable, or ReplyError if the server refuses.
    """
    if layer in (None, Layer.L1):
        order = f"{time.time():.3f} {secrets.token_hex(4)}"
        orders = orders_key(store)
        await shared.call(orders, b"HSET", orders, name or EVERY, order)
        await shared.call(orders, b"EXPIRE", orders, KEEP_SECONDS)
    gone = 0
    if layer in (None, Layer.L2):
        for cache in SHARED_NAMES:
            if name in (None, cache):
                gone += await shared.delete_matching(key_pattern(store, cache))
    return gone


class Clearing:
    """Follows the orders in one process. `followed` counts them."""

    def __init__(
        self,
        shared: Shared,
        store: Callable[[], Store],
        tasks: BackgroundTasks,
        caches: Registry = registry,
    ) -> None:
        self.followed = 0
        self._began = time.time()
        self._shared = shared
        self._caches = caches
        self._seen: dict[bytes, bytes] | None = None
        self._store = store
        self._tasks = tasks
        self._task: Task | None = None

    def start(self) -> None:
        """Begin to poll; needs a running loop."""
        self._task = self._tasks.service(self._follow(), "orders to clear caches")

    async def stop(self) -> None:
        """Stop polling."""
        await cancel([self._task])

    async def _follow(self) -> None:
        while True:
            orders = await self._orders()
            if orders is not None:
                self._follow_orders(orders)
            await asyncio.sleep(LOOK_SECONDS)

    def _follow_orders(self, orders: dict[bytes, bytes]) -> None:
        if self._seen is None:  # orders older than this process do not concern it
            self._seen = {name: order for name, order in orders.items() if _time(order) < self._began}
        seen, self._seen = self._seen, orders
        for name in [name for name, order in orders.items() if seen.get(name) != order]:
            self.followed += 1
            self._caches.clear(None if name == EVERY.encode() else name.decode("utf-8", "replace"))

    async def _orders(self) -> dict[bytes, bytes] | None:
        try:
            key = orders_key(self._store().name)
            reply = await self._shared.call(key, b"HGETALL", key)
        except (Unavailable, ReplyError):
            return None
        return dict(zip(reply[::2], reply[1::2], strict=True)) if isinstance(reply, list) else None


def _time(order: bytes) -> float:
    """When an order was given, by the clock of its sender, plus SKEW_SECONDS; 0 for a value that is no order."""
    try:
        return float(order.split()[0]) + SKEW_SECONDS
    except (ValueError, IndexError):
        return 0.0

"""Single flight: many who ask for the same at once share one fetch, in a process and across processes.

Rule: sharing saves work and changes nothing else: an error reaches all who wait and is not kept, one who goes away
takes nobody along, and nobody waits longer than the own limit.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from relay.caching.shared import Script, Shared

K = TypeVar("K")
V = TypeVar("V")

LIMIT_SECONDS = 10.0
LOCK_SECONDS = 3.0
WAIT_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.1

RELEASE = Script(
    b"""
    if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('UNLINK', KEYS[1]) end
    return 0
    """
)


class Abandoned(Exception):
    """the fetch was given up by the one who did it"""


class _Flight(Generic[V]):
    __slots__ = ("task", "waiting")

    def __init__(self) -> None:
        self.task: asyncio.Task[V]
        self.waiting = 0


class Flights(Generic[K, V]):
    """The fetches of this process that are under way, by key. `fetched` and `joined` count from the start."""

    def __init__(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        self.fetched = 0
        self.joined = 0
        self._limit = limit_seconds
        self._flights: dict[K, _Flight[V]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def join(self, key: K, fetch: Callable[[], Awaitable[V]], limit_seconds: float | None = None) -> V:
        """What `fetch` gives, or what the fetch of the same key gives that is under way: it may have begun earlier.

        Raises what the fetch raises, TimeoutError after `limit_seconds` of waiting. When the last who waits has gone
        the fetch is cancelled.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._begin(key, fetch)
        else:
            self.joined += 1
        flight.waiting += 1
        try:
            async with asyncio.timeout(self._limit if limit_seconds is None else limit_seconds):
                return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._end(key, flight)
                flight.task.cancel()

    def _begin(self, key: K, fetch: Callable[[], Awaitable[V]]) -> _Flight[V]:
        self.fetched += 1
        flight: _Flight[V] = _Flight()
        self._flights[key] = flight
        flight.task = asyncio.get_running_loop().create_task(self._fly(key, flight, fetch))
        flight.task.add_done_callback(lambda task: self._landed(key, flight, task))
        return flight

    async def _fly(self, key: K, flight: _Flight[V], fetch: Callable[[], Awaitable[V]]) -> V:
        try:
            return await fetch()
        except asyncio.CancelledError:
            if flight.task.cancelling():
                raise
            raise Abandoned("the fetch was cancelled") from None  # or those who wait would seem to be cancelled
        finally:
            self._end(key, flight)  # at once: nobody joins what is over

    def _landed(self, key: K, flight: _Flight[V], task: "asyncio.Task[V]") -> None:
        self._end(key, flight)  # a task that was cancelled before its first step never ran
        if not task.cancelled():
            task.exception()  # seen, even if nobody waits for it any longer

    def _end(self, key: K, flight: _Flight[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


class Across:
    """Single flight across instances, for costly fetches: a short lock in L2, the others wait for the value.

    The lock saves work and guards nothing: with L2 away, after `wait_seconds`, or when the lock outlives
    `lock_seconds`, more than one fetches. `led`, `waited` and `alone` count how calls went.
    """

    def __init__(
        self, shared: Shared, *, lock_seconds: float = LOCK_SECONDS, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self.led = 0
        self.waited = 0
        self.alone = 0
        self._shared = shared
        self._lock_seconds = lock_seconds
        self._wait_seconds = wait_seconds

    async def fetch(self, key: bytes, read: Callable[[], Awaitable[V | None]], fetch: Callable[[], Awaitable[V]]) -> V:
        """What `fetch` gives here, or what `read` finds once another instance has fetched it.

        `read` looks into L2 (None: not there yet); `fetch` also writes there, before it returns: a write to a key of
        the same slot is on its way before the lock is released. `key` is that of the value; raises what `fetch` raises.
        """
        lock = lock_key(key)
        token = secrets.token_bytes(16)
        holds, value = await self._lock_or_value(lock, token, read)
        if value is not None:
            if holds:
                self._release(lock, token)
            self.waited += 1
            return value
        if not holds:
            self.alone += 1
            return await fetch()
        self.led += 1
        try:
            return await fetch()
        finally:
            self._release(lock, token)

    async def _lock_or_value(
        self, lock: bytes, token: bytes, read: Callable[[], Awaitable[V | None]]
    ) -> tuple[bool, V | None]:
        """Whether the lock is ours, and the value if it came while we waited; neither: fetch alone."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wait_seconds
        pause = FIRST_PAUSE_SECONDS
        waited = False
        while (taken := await self._take(lock, token)) is False:
            left = deadline - loop.time()
            if left <= 0:
                return False, None
            await asyncio.sleep(min(pause, left))
            waited = True
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            value = await read()
            if value is not None:
                return False, value
        if not taken:
            return False, None
        # Who held it before us may have written after our last look.
        return True, await read() if waited else None

    async def _take(self, lock: bytes, token: bytes) -> bool | None:
        """True: the lock is ours; False: another holds it; None: L2 cannot say."""
        try:
            milliseconds = int(self._lock_seconds * 1000)
            reply = await self._shared.call(lock, b"SET", lock, token, b"NX", b"PX", milliseconds)
        except Exception:  # whatever L2 says: who cannot have a lock fetches without one
            return None
        return reply is not None

    def _release(self, lock: bytes, token: bytes) -> None:
        self._shared.send_script(RELEASE, [lock], [token], lambda _: None)


def lock_key(key: bytes) -> bytes:
    """The key of the lock of a value, in the value's own slot; the key has a hash tag, or no brace at all."""
    start = key.find(b"{")
    if start >= 0 and key.find(b"}", start) > start + 1:
        return b"lock:" + key
    return b"lock:{" + key + b"}"

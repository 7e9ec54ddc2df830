"""Single flight: concurrent calls for the same key share one fetch.

Rule: sharing changes nothing but the cost. An error reaches all waiting callers and is not kept; a caller that is
cancelled does not cancel the others; no caller waits longer than its own limit.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

LIMIT_SECONDS = 10.0


class Abandoned(Exception):
    """the shared fetch was cancelled"""


class _Flight(Generic[V]):
    __slots__ = ("task", "waiting")

    def __init__(self) -> None:
        self.task: asyncio.Task[V]
        self.waiting = 0


class SingleFlight(Generic[K, V]):
    """The fetches of this process that are under way, by key. `fetched` and `joined` count since the start."""

    def __init__(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        self.fetched = 0
        self.joined = 0
        self._limit = limit_seconds
        self._flights: dict[K, _Flight[V]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def join(self, key: K, fetch: Callable[[], Awaitable[V]], limit_seconds: float | None = None) -> V:
        """The result of `fetch`, or of a fetch of the same key that is under way, which may have started before this
        call.

        Raises what the fetch raises, TimeoutError after `limit_seconds` of waiting. The fetch is cancelled when its
        last caller stops waiting.
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
        flight.task = asyncio.get_running_loop().create_task(self._run(key, flight, fetch))
        flight.task.add_done_callback(lambda task: self._done(key, flight, task))
        return flight

    async def _run(self, key: K, flight: _Flight[V], fetch: Callable[[], Awaitable[V]]) -> V:
        try:
            return await fetch()
        except asyncio.CancelledError:
            if flight.task.cancelling():
                raise
            # CancelledError would look like the caller's own cancellation.
            raise Abandoned("the fetch was cancelled") from None
        finally:
            self._end(key, flight)  # at once, so that no later call joins it

    def _done(self, key: K, flight: _Flight[V], task: "asyncio.Task[V]") -> None:
        self._end(key, flight)  # a task cancelled before its first step ran no `finally`
        if not task.cancelled():
            task.exception()  # retrieved, even if no caller is left

    def _end(self, key: K, flight: _Flight[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

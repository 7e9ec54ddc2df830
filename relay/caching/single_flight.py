"""Single flight: concurrent calls for the same key share one fetch.

Rule: sharing changes nothing but the cost. The first caller fetches, in its own task; an error reaches all waiting
callers and is not kept. If the first caller is cancelled, so is its fetch, and the next one fetches for itself and the
others. The callers limit their time themselves.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Abandoned(Exception):
    """the shared fetch was cancelled"""


class SingleFlight(Generic[K, V]):
    """The fetches of this process that are under way, by key. `fetched` and `joined` count since the start."""

    def __init__(self) -> None:
        self.fetched = 0
        self.joined = 0
        self._flights: dict[K, list[asyncio.Future[tuple[V] | None]]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def is_joined(self, key: K) -> bool:
        """Whether other callers wait for the fetch of this key."""
        return bool(self._flights.get(key))

    async def join(self, key: K, fetch: Callable[[], Awaitable[V]]) -> V:
        """The result of `fetch`, or of a fetch of the same key that is under way, which may have started before this
        call.

        Raises what the fetch raises.
        """
        has_joined = False
        while (waiting := self._flights.get(key)) is not None:
            if not has_joined:
                has_joined = True
                self.joined += 1
            future: asyncio.Future[tuple[V] | None] = asyncio.get_running_loop().create_future()
            waiting.append(future)
            result = await future
            if result is not None:
                return result[0]
        return await self._fetch(key, fetch)

    async def _fetch(self, key: K, fetch: Callable[[], Awaitable[V]]) -> V:
        """Fetch for this caller and those that join; of those, the first to wake fetches if this one is cancelled."""
        self.fetched += 1
        waiting = self._flights[key] = []
        result: tuple[V] | None = None
        failure: Exception | None = None
        try:
            value = await fetch()
            result = (value,)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # CancelledError would look like the caller's own cancellation.
            failure = Abandoned("the fetch was cancelled")
            raise failure from None
        except Exception as error:
            failure = error
            raise
        finally:
            del self._flights[key]  # at once, so that no later call joins it
            for future in waiting:
                if future.done():
                    continue
                if failure is not None:
                    future.set_exception(failure)
                else:
                    future.set_result(result)
        return value

"""Live figures of the relay, over all its workers.

Each worker publishes its own once a second under a key that lives for five seconds; a reader sums those of all. Rule:
figures cost next to nothing: one round trip a second to write, at most two reads a second in a process however many
clients ask. An unavailable cache is counted, not reported: a process shows its own figures then.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from relay import redis_clients
from relay.background import BackgroundTasks, Task
from relay.protocol.errors import Failed
from relay.services.connection_keys import ANSWER_SECONDS, LONGEST_SEARCH, answer_key, wanted_key
from relay.services.connections import ConnectionFigures
from relay.services.figures import CACHE_ERRORS, LIFE_SECONDS, TIMEOUT_SECONDS, async_client, decoded, key, workers_key
from relay.services.sampling import Rate, Sampler
from relay.services.worker_figures import WorkerFigures
from relay.storage.store import Store

log = logging.getLogger("relay.status")

PUBLISH_SECONDS = 1.0
CACHED_SECONDS = 0.5
COUNT_SECONDS = 5.0

listeners: list[Callable[[WorkerFigures], None]] = []
"""Called once a second in each worker with its figures; they must return at once."""


class RelayFigures(Struct, frozen=True):
    """The figures of all workers. `events`: stored, at most five seconds ago; None if not known."""

    connections: int
    subscriptions: int
    events_per_second: float
    events: int | None
    position: int
    workers: int
    uptime_seconds: int
    whole: bool  # False: of this process only, because the cache is unavailable


def summed(
    parts: Iterable[WorkerFigures], now: float, events: int | None = None, *, whole: bool = True
) -> RelayFigures:
    """The figures of at least one worker as those of the relay, at `now` (Unix seconds)."""
    workers = list(parts)
    return RelayFigures(
        connections=sum(worker.connections for worker in workers),
        subscriptions=sum(worker.subscriptions for worker in workers),
        events_per_second=round(sum(worker.events_per_second for worker in workers), 1),
        events=events,
        position=max(worker.position for worker in workers),
        workers=len(workers),
        uptime_seconds=max(0, round(now - min(worker.started_at for worker in workers))),
        whole=whole,
    )


class Status:
    """The figures of one process, and through the cache those of all.

    `own` gives what this process counts now; rates are added here. `count` asks the database for the number of
    events, None if it is not known (raises Failed). With an empty `cache_url` nothing is exchanged.
    """

    def __init__(  # noqa: PLR0917
        self,
        cache_url: str,
        instance: str,
        own: Callable[[], WorkerFigures],
        count: Callable[[], Awaitable[int | None]],
        store: Callable[[], Store],
        tasks: BackgroundTasks | None = None,
        connections: Callable[[str], list[ConnectionFigures]] = lambda search: [],
    ) -> None:
        self.failures = 0
        self._complained = False
        self._own = own
        self._connections = connections
        self._count = count
        self._name = f"{instance}:{os.getpid()}:{secrets.token_hex(3)}"
        self._cache = async_client(cache_url) if cache_url else None
        self._sampler = Sampler()
        self._stopping = asyncio.Event()
        self._store = store
        self._tasks = tasks or BackgroundTasks()
        self._task: Task | None = None
        self._reading: asyncio.Task[RelayFigures] | None = None
        self._read: RelayFigures | None = None
        self._read_at = 0.0
        self._events: int | None = None
        self._events_at = float("-inf")

    def start(self) -> None:
        """Begin to publish; needs a running loop."""
        self._task = self._tasks.job(self._publish(), "publisher of figures")

    async def stop(self) -> None:
        """Pass the last figures to the listeners, delete those of this worker from the cache, and end."""
        self._stopping.set()
        # Not cancelled: redis-py may swallow a cancellation while it connects. Each exchange has a time-out.
        if tasks := [task for task in (self._task, self._reading) if task is not None]:
            await asyncio.wait(tasks, timeout=2 * TIMEOUT_SECONDS)
        self._notify(self.mine())  # including the failure that ends the process
        if self._cache is not None:
            store = self._store().name
            await self._exchange(lambda pipe: pipe.srem(workers_key(store), self._name).delete(key(store, self._name)))
            with contextlib.suppress(*CACHE_ERRORS):
                await self._cache.aclose()

    async def figures(self) -> RelayFigures:
        """The relay's figures, at most half a second old. Never raises because of cache or database."""
        if self._read is not None and time.monotonic() - self._read_at < CACHED_SECONDS:
            return self._read
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._gather(), name="relay status read")
        return await asyncio.shield(self._reading)

    def mine(self) -> WorkerFigures:
        """The figures of this process now; rates are those of the last second."""
        return self._sampler.filled(self._own())

    async def _publish(self) -> None:
        while not self._stopping.is_set():
            self._sampler.sample(time.monotonic(), self._own(), time.process_time())
            figures = self.mine()
            self._notify(figures)
            await self._show(msgspec.json.encode(figures))
            await redis_clients.async_follow_master(self._cache)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await self._stopping.wait()

    def _notify(self, figures: WorkerFigures) -> None:
        for listener in listeners:
            try:
                listener(figures)
            except Exception as error:
                self.failures += 1
                if not self._complained:  # once, not once a second
                    self._complained = True
                    log.warning("the figures of this process cannot be shown: %r", error)

    async def _show(self, text: bytes) -> None:
        store, name = self._store().name, self._name
        found = await self._exchange(
            lambda pipe: (
                pipe.sadd(workers_key(store), name)
                .expire(workers_key(store), 10 * LIFE_SECONDS)
                .set(key(store, name), text, ex=LIFE_SECONDS)
                .get(wanted_key(store))
            )
        )
        if found is not None and found[-1] is not None:
            search = found[-1].decode(errors="replace")[:LONGEST_SEARCH]
            shown = msgspec.json.encode(self._connections(search))
            await self._exchange(lambda pipe: pipe.set(answer_key(store, name, search), shown, ex=ANSWER_SECONDS))

    async def _gather(self) -> RelayFigures:
        mine = self.mine()
        others = await self._others()
        events = await self._stored_events()
        self._read = summed([mine, *(others or ())], time.time(), events, whole=others is not None)
        self._read_at = time.monotonic()
        return self._read

    async def _others(self) -> list[WorkerFigures] | None:
        """What the other workers published, None if the cache is unavailable."""
        store = self._store().name
        found = await self._exchange(lambda pipe: pipe.smembers(workers_key(store)))
        if found is None:
            return None
        names = sorted({name.decode() for name in found[0]} - {self._name})
        if not names:
            return []
        values = await self._exchange(lambda pipe: pipe.mget([key(store, name) for name in names]))
        if values is None:
            return None
        gone = [name for name, value in zip(names, values[0], strict=True) if value is None]
        if gone:
            await self._exchange(lambda pipe: pipe.srem(workers_key(store), *gone))
        return [figures for value in values[0] if value is not None and (figures := decoded(value)) is not None]

    async def _exchange(self, commands: Callable[[Any], Any]) -> list[Any] | None:
        """Run commands in one round trip; None, counted, if the cache does not answer in time."""
        if self._cache is None:
            return None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self._cache.pipeline(transaction=False) as pipe:
                commands(pipe)
                return list(await pipe.execute())
        except CACHE_ERRORS:
            self.failures += 1
            return None

    async def _stored_events(self) -> int | None:
        """Their number, read every COUNT_SECONDS; the last one while the database does not answer."""
        if time.monotonic() - self._events_at > COUNT_SECONDS:
            self._events_at = time.monotonic()
            with contextlib.suppress(Failed):
                self._events = await self._count()
        return self._events


__all__ = ["Rate", "RelayFigures", "Status", "WorkerFigures", "listeners", "summed"]

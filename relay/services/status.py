"""Live figures of the relay, over all its workers.

Each worker writes its own once a second under a key that lives for five seconds; whoever is asked sums what is
there. Rule: figures cost next to nothing. Writing is one round trip a second, reading happens at most twice a second
in a process however many ask, and a cache that is away is counted, not reported: a process shows its own figures then.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import redis.asyncio
from msgspec import Struct
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from relay.protocol.errors import Failed

PUBLISH_SECONDS = 1.0
LIFE_SECONDS = 5
"""A worker that has said nothing for so long is counted no more."""

CACHED_SECONDS = 0.5
ESTIMATE_SECONDS = 60.0
PATIENCE_SECONDS = 0.5
"""For one exchange with the cache."""

_WORKERS = "{relay:status}:workers"
_Undecodable = (msgspec.DecodeError, UnicodeDecodeError)


class WorkerFigures(Struct, frozen=True):
    """What one worker says of itself. Times are Unix seconds."""

    connections: int
    subscriptions: int
    events_stored: int  # since it started
    events_per_second: float
    position: int  # the last change it has applied
    started_at: float


class RelayFigures(Struct, frozen=True):
    """The figures of all workers. `events` is an estimate, None before there is one."""

    connections: int
    subscriptions: int
    events_per_second: float
    events: int | None
    position: int
    workers: int
    uptime_seconds: int
    whole: bool  # False: of the asked process alone, because the cache is away


class Rate:
    """How fast a total grows: per second, over the last few seconds."""

    def __init__(self, window_seconds: float = 5.0) -> None:
        self._window = window_seconds
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, total: int) -> float:
        """Note the total at `now` (seconds of any steady clock) and return the rate."""
        samples = self._samples
        samples.append((now, total))
        while len(samples) > 2 and samples[1][0] <= now - self._window:
            samples.popleft()
        first, before = samples[0]
        return (total - before) / (now - first) if now > first else 0.0


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

    `own` says what this process counts now; its rate is filled in here. `estimate` asks the database how many
    events there are (raises Failed). With an empty `cache_url` nothing is exchanged.
    """

    def __init__(
        self, cache_url: str, instance: str, own: Callable[[], WorkerFigures], estimate: Callable[[], Awaitable[int]]
    ) -> None:
        self.failures = 0
        self._own = own
        self._estimate = estimate
        self._name = f"{instance}:{os.getpid()}:{secrets.token_hex(3)}"
        self._cache = _client(cache_url) if cache_url else None
        self._rate = Rate()
        self._events_per_second = 0.0
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[RelayFigures] | None = None
        self._read: RelayFigures | None = None
        self._read_at = 0.0
        self._events: tuple[int, int] | None = None  # how many, and the position then
        self._events_at = float("-inf")

    def start(self) -> None:
        """Begin to publish; needs a running loop."""
        self._task = asyncio.get_running_loop().create_task(self._publish(), name="relay status")

    async def stop(self) -> None:
        """Take this worker off the board and end."""
        self._stopping.set()
        # Told, not cancelled: redis-py may swallow a cancellation while it connects. Each exchange ends by itself.
        if tasks := [task for task in (self._task, self._reading) if task is not None]:
            await asyncio.wait(tasks, timeout=2 * PATIENCE_SECONDS)
        if self._cache is not None:
            await self._exchange(lambda pipe: pipe.srem(_WORKERS, self._name).delete(_key(self._name)))
            with contextlib.suppress(RedisError, OSError):
                await self._cache.aclose()

    async def figures(self) -> RelayFigures:
        """The relay's figures, at most half a second old. Never raises because of cache or database."""
        if self._read is not None and time.monotonic() - self._read_at < CACHED_SECONDS:
            return self._read
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._gather(), name="relay status read")
        return await asyncio.shield(self._reading)

    def _mine(self) -> WorkerFigures:
        return msgspec.structs.replace(self._own(), events_per_second=self._events_per_second)

    async def _publish(self) -> None:
        while not self._stopping.is_set():
            self._events_per_second = self._rate.add(time.monotonic(), self._own().events_stored)
            await self._show(msgspec.json.encode(self._mine()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await self._stopping.wait()

    async def _show(self, text: bytes) -> None:
        await self._exchange(lambda pipe: pipe.sadd(_WORKERS, self._name).set(_key(self._name), text, ex=LIFE_SECONDS))

    async def _gather(self) -> RelayFigures:
        mine = self._mine()
        others = await self._others()
        events = await self._known_events(mine.position)
        self._read = summed([mine, *(others or ())], time.time(), events, whole=others is not None)
        self._read_at = time.monotonic()
        return self._read

    async def _others(self) -> list[WorkerFigures] | None:
        """What the other workers published, None when the cache is away."""
        found = await self._exchange(lambda pipe: pipe.smembers(_WORKERS))
        if found is None:
            return None
        names = sorted({name.decode() for name in found[0]} - {self._name})
        if not names:
            return []
        values = await self._exchange(lambda pipe: pipe.mget([_key(name) for name in names]))
        if values is None:
            return None
        gone = [name for name, value in zip(names, values[0], strict=True) if value is None]
        if gone:
            await self._exchange(lambda pipe: pipe.srem(_WORKERS, *gone))
        return [figures for value in values[0] if value is not None and (figures := _decoded(value)) is not None]

    async def _exchange(self, commands: Callable[[Any], Any]) -> list[Any] | None:
        """Run commands in one round trip; None, counted, when the cache does not answer in time."""
        if self._cache is None:
            return None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._cache.pipeline(transaction=False) as pipe:
                commands(pipe)
                return list(await pipe.execute())
        except (RedisError, OSError, TimeoutError):
            self.failures += 1
            return None

    async def _known_events(self, position: int) -> int | None:
        """The database's estimate, asked once a minute; what changed since is added, so that it moves in between."""
        if time.monotonic() - self._events_at > ESTIMATE_SECONDS:
            self._events_at = time.monotonic()
            with contextlib.suppress(Failed):
                self._events = (await self._estimate(), position)
        if self._events is None:
            return None
        events, then = self._events
        return events + max(0, position - then)


def _client(url: str) -> Any:
    return redis.asyncio.from_url(
        url,
        socket_timeout=PATIENCE_SECONDS,
        socket_connect_timeout=PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 0),
        max_connections=4,
    )


def _key(name: str) -> str:
    return f"{{relay:status}}:{name}"


def _decoded(value: bytes) -> WorkerFigures | None:
    """Another worker may be of another version: what cannot be read is left out."""
    try:
        return msgspec.json.decode(value, type=WorkerFigures)
    except _Undecodable:
        return None

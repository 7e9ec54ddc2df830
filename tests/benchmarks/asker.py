"""A client that asks and publishes as fast as it is answered: one process, some connections.

Every figure is of acknowledged work: a query counts at its EOSE, an event at its OK true.
"""

import asyncio
import random
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import orjson

from relay.loadtest.link import Link, open_link
from relay.loadtest.tally import Tally

Json = dict[str, Any]
Make = Callable[[], tuple[str, list[Json]]]
"""Another question: the name of its shape, and its filters."""

LIMIT_SECONDS = 30.0


async def connect(url: str, count: int) -> list[Link]:
    """So many connections; ConnectionError when one failed."""
    tally = Tally()
    made = [link for _ in range(count) if (link := await open_link(url, tally)) is not None]
    if len(made) < count:
        raise ConnectionError(", ".join(tally.failures.counts))
    return made


@dataclass
class Asked:
    """What was answered. `latencies` in seconds by shape."""

    seconds: float = 0.0
    latencies: dict[str, list[float]] = field(default_factory=dict)
    published: int = 0

    @property
    def queries(self) -> int:
        return sum(map(len, self.latencies.values()))

    @property
    def per_second(self) -> float:
        return self.queries / self.seconds

    def median_ms(self) -> float:
        """Of all shapes together, in milliseconds."""
        every = [seconds for each in self.latencies.values() for seconds in each]
        return statistics.median(every) * 1e3 if every else 0.0


async def ask(
    url: str,
    make: Make,
    *,
    connections: int,
    seconds: float = float("inf"),
    queries: int | None = None,
    writes: Sequence[bytes] = (),
    write_share: float = 0.0,
) -> Asked:
    """Ask for `seconds`, or so many queries; `write_share` of what is sent are events out of `writes`."""
    asked = Asked()
    frames = iter(writes)
    left = iter(range(queries)) if queries is not None else None
    rng = random.Random(5)
    begin = perf_counter()

    async def run(link: Link, number: int) -> None:
        turn = 0
        while perf_counter() - begin < seconds and (left is None or next(left, None) is not None):
            turn += 1
            frame = next(frames, None) if rng.random() < write_share else None
            if frame is not None:
                await done(link.accepted(id_of(frame), frame))
                asked.published += 1
                continue
            shape, filters = make()
            start = perf_counter()
            await done(link.answered(f"{number}-{turn}", *filters))
            asked.latencies.setdefault(shape, []).append(perf_counter() - start)

    made = await connect(url, connections)
    begin = perf_counter()
    try:
        await asyncio.gather(*[run(link, number) for number, link in enumerate(made)])
        asked.seconds = perf_counter() - begin
    finally:
        for link in made:
            link.close()
    return asked


async def publish(url: str, frames: Sequence[bytes], *, connections: int, window: int) -> float:
    """Publish all, `window` under way on each connection; events a second."""
    waiting = [(id_of(frame), frame) for frame in frames]
    waiting.reverse()

    async def run(link: Link) -> None:
        while waiting:
            await done(link.accepted(*waiting.pop()))

    made = await connect(url, connections)
    begin = perf_counter()
    try:
        await asyncio.gather(*[run(link) for link in made for _ in range(window)])
        return len(frames) / (perf_counter() - begin)
    finally:
        for link in made:
            link.close()


def id_of(frame: bytes) -> str:
    return str(orjson.loads(frame)[1]["id"])


async def done(answer: Awaitable[bool]) -> None:
    """Wait for an OK true or an EOSE; RuntimeError for a refusal."""
    async with asyncio.timeout(LIMIT_SECONDS):
        if not await answer:
            raise RuntimeError("an event or a query was refused, or the connection ended")

"""The work of a trial: clients of each instance that publish, ask, and listen at even rates."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter, time
from typing import Any

import orjson

from relay.loadtest.link import Link
from tests.benchmarks.asker import LIMIT_SECONDS, connect, id_of
from tests.benchmarks.crowd import Crowd, Maker
from tests.events import secret, sign_event

FOLLOWED = 300
KEPT = 100
"""Authors of the filter of a connection that waits."""

AUTHORS = 5_000
"""Who publish."""

PAST_SECONDS = 300 * 86_400


@dataclass(frozen=True, slots=True)
class Rates:
    """What the clients of one instance do, a second. `burst`: events that are sent at once; `listeners`: subscriptions
    that want every event; `waiting`: connections with a home feed none of whose authors publishes;
    `readers`: connections to the bus beside those of the workers.
    """

    events: float = 0.0
    burst: int = 1
    memory: float = 0.0
    database: float = 0.0
    feeds: float = 0.0
    listeners: int = 0
    waiting: int = 0
    readers: int = 0

    def times(self, factor: float) -> "Rates":
        """With more to do for as many clients."""
        rates = {name: getattr(self, name) * factor for name in ("events", "memory", "database", "feeds")}
        return replace(self, **rates)


def signed(maker: Maker, numbers: Iterator[int]) -> Iterator[bytes]:
    """Frames of events as users write them, of many authors: their entries fall anywhere in the indexes."""
    for number in numbers:
        kind, tags, content = maker.written()
        author = secret(1 + maker.rng.randrange(AUTHORS))
        event = sign_event(author, kind=kind, tags=tags, content=f"{content} {number}", created_at=int(time()))
        yield orjson.dumps(["EVENT", event])


class Questions:
    """Filters by the kind of work that they are; those for PostgreSQL begin in the past, each elsewhere."""

    def __init__(self, crowd: Crowd, seed: int = 3) -> None:
        self._rng = random.Random(seed)
        self._authors = crowd.authors
        self._newest = crowd.events[-1][2]

    def memory(self) -> dict[str, Any]:
        """The newest notes."""
        return {"kinds": [1], "limit": self._rng.randint(15, 25)}

    def database(self) -> dict[str, Any]:
        """An author's notes before a time."""
        return {"authors": [self._rng.choice(self._authors)], "kinds": [1], "limit": 20, "until": self._past()}

    def feeds(self) -> dict[str, Any]:
        """A home feed before a time."""
        authors = self._rng.sample(self._authors, FOLLOWED)
        return {"authors": authors, "kinds": [1, 6], "limit": 100, "until": self._past()}

    def waiting(self) -> dict[str, Any]:
        """A home feed of strangers, none stored."""
        return {"authors": [os.urandom(32).hex() for _ in range(KEPT)], "kinds": [1, 6], "limit": 0}

    def _past(self) -> int:
        return self._newest - self._rng.randrange(PAST_SECONDS)


class Clients:
    """Those of one instance."""

    def __init__(self, url: str, rates: Rates, questions: Questions, frames: Iterator[bytes]) -> None:
        self._url, self._rates, self._questions, self._frames = url, rates, questions, frames
        self._links: list[Link] = []
        self._idle: list[Link] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._asked = 0
        self.feeds = 0
        self.refused = 0

    async def open(self) -> None:
        """Connect, and let listeners listen."""
        self._links = await connect(self._url, 2)
        listening = await connect(self._url, self._rates.listeners)
        for link in listening:
            await asked(link, {"kinds": [1, 6, 7, 1111], "limit": 0})
        self._links += listening

    async def wait_in_vain(self) -> None:
        """Open the connections that have nothing to do."""
        self._idle = await connect(self._url, self._rates.waiting)

    async def follow_in_vain(self) -> None:
        """Give each of them a subscription."""
        for link in self._idle:
            await asked(link, self._questions.waiting())

    async def run(self, seconds: float) -> None:
        """Work at the rates, and wait until all is answered."""
        rates, (publisher, asker, *_) = self._rates, self._links
        await asyncio.gather(
            paced(rates.events, rates.burst, seconds, lambda: self._publish(publisher)),
            paced(rates.memory, 1, seconds, lambda: self._ask(asker, self._questions.memory())),
            paced(rates.database, 1, seconds, lambda: self._ask(asker, self._questions.database())),
            paced(rates.feeds, 1, seconds, lambda: self._feed(asker)),
        )
        await asyncio.gather(*self._tasks)
        self._tasks.clear()

    def close(self) -> None:
        """Leave."""
        for link in (*self._links, *self._idle):
            link.close()

    def _publish(self, link: Link) -> None:
        frame = next(self._frames)
        self._tasks.append(asyncio.ensure_future(self._counted(link.accepted(id_of(frame), frame))))

    def _ask(self, link: Link, question: dict[str, Any]) -> None:
        self._asked += 1
        self._tasks.append(asyncio.ensure_future(self._counted(link.answered(f"q{self._asked}", question))))

    async def _counted(self, answer: Awaitable[bool]) -> None:
        """A machine that cannot keep up refuses something; the counters of the workers say what was done."""
        async with asyncio.timeout(LIMIT_SECONDS):
            self.refused += not await answer

    def _feed(self, link: Link) -> None:
        self.feeds += 1
        self._ask(link, self._questions.feeds())


async def asked(link: Link, question: dict[str, Any]) -> None:
    """Open a subscription that stays."""
    over = asyncio.Event()
    link.ask("open", [question], lambda refusal: over.set())
    await over.wait()


async def paced(rate: float, burst: int, seconds: float, act: Callable[[], None]) -> None:
    """Act so often a second, `burst` times at once, at even distances; what is late is done at once."""
    begin = perf_counter()
    for number in range(round(rate * seconds / burst)):
        await asyncio.sleep(max(0.0, begin + (number + 0.5) * burst / rate - perf_counter()))
        for _ in range(burst):
            act()


async def together(clients: Sequence[Clients], seconds: float) -> float:
    """Let all of them work; how long it took."""
    begin = perf_counter()
    await asyncio.gather(*[each.run(seconds) for each in clients])
    await asyncio.sleep(max(0.0, begin + seconds - perf_counter()))
    return perf_counter() - begin

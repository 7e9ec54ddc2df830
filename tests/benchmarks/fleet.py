"""Clients of a relay that come back whenever they are disconnected, and the ledger of what they were promised.

Each keeps one subscription to `PROBE`, of which one event at the end shows who is still served. A few follow all that
is published. Publishers send an event until its OK true, over another connection if the first one ends.
"""

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any

import orjson

from relay.background import cancel
from relay.loadtest.histogram import Histogram
from relay.loadtest.link import GONE, Link, open_link, resolve
from relay.loadtest.tally import Tally
from tests.events import pubkey_of, secret, sign_event

PROBE_KIND, NOTE_KIND = 10_777, 1
AUTHOR, PROBER = secret(424_242), secret(424_243)
AT_ONCE = 50
AGAIN_SECONDS = 0.1
ANSWER_SECONDS = 10.0
OVERLAP_SECONDS = 20
"""How far back a follower asks when it comes back."""


@dataclass
class Phase:
    """What was seen in one part of the run. `refused`: attempts to connect that failed, by reason."""

    name: str
    opened: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    closes: Counter[str] = field(default_factory=Counter)
    reconnect: Histogram = field(default_factory=Histogram)
    ok: Histogram = field(default_factory=Histogram)
    eose: Histogram = field(default_factory=Histogram)


class Member:
    """One client: `served` while it has a connection with an answered subscription."""

    def __init__(self, follows: bool) -> None:
        self.follows = follows
        self.link: Link | None = None
        self.served = False
        self.probed = False
        self.got: set[str] = set()

    def on_event(self, _link: Link, data: bytes) -> None:
        """An event of one of its subscriptions, or of a question."""
        if b'"probe"' in data[:20]:
            self.probed = True
        elif self.follows and b'"live"' in data[:20]:
            self.got.add(orjson.loads(data)[2]["id"])


class Fleet:
    """`connections` members, `followers` of which follow the events of `publishers`, `rate` a second in all."""

    def __init__(
        self, url: str, connections: int, *, followers: int, publishers: int = 10, rate: float = 100.0
    ) -> None:
        self.phase = Phase("connecting")
        self.phases = [self.phase]
        self.acknowledged: list[str] = []
        self.members = [Member(number < followers) for number in range(connections)]
        self._url = url
        self._rate = rate
        self._publishers = publishers
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._numbers = itertools.count()
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._publishing: list[asyncio.Task[None]] = []

    async def start(self, seconds: float = 120.0) -> None:
        """Connect all and begin to publish and to ask."""
        self._tasks = [asyncio.create_task(self._hold(member)) for member in self.members]
        await self.all_served(seconds)
        self._publishing = [asyncio.create_task(self._publish()) for _ in range(self._publishers)]
        self._tasks.append(asyncio.create_task(self._ask()))

    async def all_served(self, seconds: float) -> None:
        """Wait until every member is served. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not all(member.served for member in self.members):
                await asyncio.sleep(0.05)

    def begin(self, name: str) -> None:
        """What is seen from now on belongs to another phase."""
        self.phase = Phase(name)
        self.phases.append(self.phase)

    async def finish(self) -> tuple[int, int]:
        """Stop publishing; returns how many members a last event did not reach, and deliveries that are missing."""
        self._over.set()
        await asyncio.gather(*self._publishing)
        await self.all_served(30.0)
        link = await open_link(self._url, Tally())
        assert link is not None
        event = sign_event(PROBER, kind=PROBE_KIND, created_at=int(time()))
        assert await asyncio.wait_for(_publish(link, event), ANSWER_SECONDS)
        end = perf_counter() + ANSWER_SECONDS
        promised = set(self.acknowledged)
        while perf_counter() < end and not all(member.probed for member in self.members):
            await asyncio.sleep(0.05)
        missing = sum(len(promised - member.got) for member in self.members if member.follows)
        return sum(not member.probed for member in self.members), missing

    async def stored(self) -> set[str]:
        """Those of the acknowledged events that the relay has."""
        found: set[str] = set()
        link = await open_link(self._url, Tally(), lambda _link, data: found.add(orjson.loads(data)[2]["id"]))
        assert link is not None
        for start in range(0, len(self.acknowledged), 200):
            answered = link.answered("ids", {"ids": self.acknowledged[start : start + 200]})
            assert await asyncio.wait_for(answered, ANSWER_SECONDS)
        link.close()
        return found

    async def close(self) -> None:
        """End all connections."""
        await cancel([*self._tasks, *self._publishing])
        for member in self.members:
            if member.link is not None:
                member.link.close()

    async def _hold(self, member: Member) -> None:
        lost_at: float | None = None
        while True:
            tally = Tally()
            async with self._gate:
                link = await open_link(self._url, tally, member.on_event)
            if link is None:
                self.phase.refused.update(tally.failures.counts.keys())
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            self.phase.opened += 1
            member.link = link
            gone = await self._subscribe(member, link)
            if member.served and lost_at is not None:
                self.phase.reconnect.add(perf_counter() - lost_at)
            await gone.wait()
            member.served, lost_at = False, perf_counter()
            self.phase.closes.update(tally.closes.counts.keys())

    async def _subscribe(self, member: Member, link: Link) -> asyncio.Event:
        """Ask for the subscriptions of a member; returns the event of the connection's end."""
        gone, answered = asyncio.Event(), asyncio.Event()
        wanted: dict[str, dict[str, Any]] = {"probe": {"authors": [pubkey_of(PROBER)], "kinds": [PROBE_KIND]}}
        if member.follows:
            since = int(time()) - OVERLAP_SECONDS
            wanted["live"] = {"authors": [pubkey_of(AUTHOR)], "since": since, "limit": 5_000}
        due = set(wanted)

        def on_end(name: str, refusal: object) -> None:
            if refusal is None:
                due.discard(name)
            elif refusal is GONE:
                gone.set()
            if not due or gone.is_set():
                answered.set()

        for name, query_filter in wanted.items():
            link.ask(name, [query_filter], lambda refusal, name=name: on_end(name, refusal))  # type: ignore[misc]
        await answered.wait()
        member.served = not due
        return gone

    async def _publish(self) -> None:
        """Events at an even rate; one that is late is sent at once."""
        link: Link | None = None
        due = perf_counter()
        while not self._over.is_set():
            due += self._publishers / self._rate
            await asyncio.sleep(max(0.0, due - perf_counter()))
            event = sign_event(AUTHOR, content=f"note {next(self._numbers)}", created_at=int(time()))
            while event["id"] not in self.acknowledged[-1:]:
                if link is None or not link.open:
                    link = await open_link(self._url, Tally())
                    if link is None:
                        await asyncio.sleep(AGAIN_SECONDS)
                        continue
                began, phase = perf_counter(), self.phase
                try:
                    accepted = await asyncio.wait_for(_until_lost(link, _publish(link, event)), ANSWER_SECONDS)
                except (TimeoutError, ConnectionError):
                    link.close()
                    continue
                if accepted:
                    phase.ok.add(perf_counter() - began)
                    self.acknowledged.append(event["id"])
        if link is not None:
            link.close()

    async def _ask(self, rate: float = 10.0) -> None:
        chooser = random.Random(1)
        for number in itertools.count():
            await asyncio.sleep(1 / rate)
            link = chooser.choice(self.members).link
            if link is not None and link.open:
                self._ask_on(link, f"q{number}", self.phase)

    def _ask_on(self, link: Link, name: str, phase: Phase) -> None:
        began = perf_counter()

        def on_end(refusal: object) -> None:
            link.queries.pop(name, None)
            if refusal is None:
                phase.eose.add(perf_counter() - began)
                link.send(orjson.dumps(["CLOSE", name]))

        link.ask(name, [{"kinds": [NOTE_KIND], "limit": 10}], on_end)


async def _publish(link: Link, event: dict[str, Any]) -> bool:
    return await link.accepted(event["id"], b'["EVENT",' + orjson.dumps(event) + b"]")


async def _until_lost(link: Link, work: Any) -> bool:
    """The result of `work`. Raises ConnectionError as soon as the connection has ended."""
    lost: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    link.queries["end"] = lambda refusal: resolve(lost, True) if refusal is GONE else None
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task, lost], return_when=asyncio.FIRST_COMPLETED)
    finally:
        link.queries.pop("end", None)
        if not task.done():
            task.cancel()
    if not task.done():
        raise ConnectionError
    return bool(task.result())

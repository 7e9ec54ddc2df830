"""One worker's part of a run: its events, its connections, its counts.

Rule: a run has the same phases in every scenario (prepare, play, wind down, leave) and every phase has an end.
"""

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Callable
from time import perf_counter, process_time, time

from relay.loadtest.asking import Asker
from relay.loadtest.board import Board
from relay.loadtest.following import Follower
from relay.loadtest.link import Link, open_link
from relay.loadtest.pacing import until
from relay.loadtest.plan import GRACE_SECONDS, Plan, Scenario, Share
from relay.loadtest.pool import LIVE_KINDS, SignedEvent, signed_events
from relay.loadtest.publishing import Publisher
from relay.loadtest.tally import Moment, Part, Tally, slot_width

Say = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

AT_ONCE = 50  # connections that are opened at the same time
_SIGN_AT_ONCE = 50
REOPEN_SECONDS = 0.5
MISSED_SECONDS, MISSED_EVENTS = 30, 5_000
"""What a follower asks for when it comes back."""
_IDLE_READ_BUFFER = 1_024


class Load:
    """`stop` ends it early; what was counted until then stays in `tally`."""

    def __init__(self, plan: Plan, share: Share, board: Board, stop: asyncio.Event, say: Say) -> None:
        self.plan, self.share, self.board, self.stop = plan, share, board, stop
        self.rng = random.Random(f"{plan.seed}-{share.index}-load")  # noqa: S311 (a choice, not a secret)
        self.tally = Tally(slot_width(plan.duration))
        # The events that queries need are published before the clock starts: counted apart, and not timed.
        self.before = Tally() if plan.scenario is Scenario.QUERY else self.tally
        self.publisher = Publisher(self.before, board, share.first, share.step)
        self.asker = Asker(self.tally)
        self.follower = Follower(plan, self.tally, board)
        self.pool: list[SignedEvent] = []
        self.links: list[Link] = []
        self.subscribers: list[Link] = []
        self._say = say
        self._cpu = 0.0

    async def prepare(self) -> None:
        """Sign, connect, subscribe. Stops between two steps when `stop` is set."""
        await self._sign()
        await self._connect()
        if self.subscribers and not self.stop.is_set():
            self._say("subscribing", 0, len(self.subscribers))
            await self.follower.follow(self.subscribers, self._live_filter())
        gc.collect()
        gc.freeze()  # the pool is never garbage: it need not be looked at again

    async def _sign(self) -> None:
        if self.plan.streams:
            self.publisher.load(signed_events(self.plan, self.share))
            return
        # existing: nothing is published, so nothing is signed.
        for event in () if self.plan.existing else signed_events(self.plan, self.share):
            self.pool.append(event)
            if len(self.pool) % _SIGN_AT_ONCE == 0:
                self._say("signing", len(self.pool), self.share.events)
                await asyncio.sleep(0)
                if self.stop.is_set():
                    break
        self.publisher.load(self.pool)

    async def _connect(self) -> None:
        self.links = await self._open(self.share.connections, self._url)
        if self.plan.scenario is Scenario.MIXED:
            self.subscribers = self.links[: self.share.subscribers]
        else:
            buffer = _IDLE_READ_BUFFER if self.plan.scenario is Scenario.IDLE else 16_384
            self.subscribers = await self._open(self.share.subscribers, self._following_url, buffer)

    def _url(self, number: int) -> str:
        return self.plan.publishing_url(self.share.first_connection + number)

    def _following_url(self, number: int) -> str:
        return self.plan.following_url(self.share.first_subscriber + number)

    async def _open(self, number: int, url: Callable[[int], str], read_buffer: int = 16_384) -> list[Link]:
        opened: list[Link] = []
        for first in range(0, number, AT_ONCE):
            self._say("connecting", first, number)
            if self.stop.is_set():
                break
            batch = range(first, min(first + AT_ONCE, number))
            opening = [open_link(url(at), self.tally, self._on_event, read_buffer=read_buffer) for at in batch]
            opened += [link for link in await asyncio.gather(*opening) if link is not None]
        return opened

    def _on_event(self, link: Link, data: bytes) -> None:
        takes = self.follower if self.follower.is_live(link, data) else self.asker
        takes.on_event(link, data)

    def _live_filter(self) -> dict[str, object]:
        if self.plan.scenario is not Scenario.IDLE:
            return {"kinds": list(LIVE_KINDS), "limit": 1}
        first = next(signed_events(self.plan, self.plan.share(0)))
        return {"authors": [first.author], "kinds": [1], "limit": 1}

    async def reopen(self) -> None:
        """Open connections of a run that streams again when they have ended, until cancelled: each at the next address,
        since its own may be the one that is away. A failure is tried again a second later.
        """
        moved = Counter[int]()
        while True:
            await asyncio.sleep(REOPEN_SECONDS)
            gone = [at for at, link in enumerate(self.links) if not link.open][:AT_ONCE]
            moved.update(gone)
            opening = [open_link(self._url(at + moved[at]), self.tally, self._on_event) for at in gone]
            for at, link in zip(gone, await asyncio.gather(*opening), strict=True):
                if link is not None:
                    self.tally.reopened += 1
                    missed = {**self._live_filter(), "since": int(time()) - MISSED_SECONDS, "limit": MISSED_EVENTS}
                    self.follower.follow_again(self.links[at], link, missed)
                    self.links[at] = link

    def start(self) -> None:
        """The clock starts now."""
        self.tally.started = perf_counter()
        self._cpu = process_time()
        self.note_moment()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return perf_counter() - self.tally.started

    def note_moment(self) -> None:
        """Add the counts so far to the course of the run."""
        tally = self.tally
        cpu = process_time() - self._cpu
        tally.moments.append(Moment(self.elapsed, tally.accepted, tally.answered, tally.delivered, cpu))

    def part(self) -> Part:
        """For a line of the log: the counts, and the latencies since the last call."""
        tally, closed = self.tally, self.tally.closes.counts.total()
        recent = [track.take_recent() for track in (tally.ok, tally.eose, tally.delivery)]
        is_open = sum(link.open for link in {*self.links, *self.subscribers})
        lost = self.follower.settled_lost
        counts = (tally.sent, tally.accepted, tally.answered, tally.delivered, lost, closed, is_open)
        return Part(*counts, *recent)

    @property
    def has_links(self) -> bool:
        """Whether a connection is open."""
        return any(link.open for link in self.links)

    async def publish_all(self, seconds: float) -> None:
        """Publish the pool as fast as it is acknowledged, at most `seconds` long."""
        self.publisher.fill(self.links, self.plan.window)
        waits = self.publisher.waits_on
        await until(lambda: not waits(self.links), seconds, self.stop)
        self.publisher.refilling = False

    async def wind_down(self) -> None:
        """Wait for what is under way, as long as something can still come and no longer than the grace."""
        self.publisher.refilling = False
        grace = 1.0 if self.stop.is_set() else GRACE_SECONDS
        awaited = asyncio.Event()  # the stop has done its work: from here on only the grace counts
        publisher, asker = self.publisher, self.asker
        await until(lambda: not (publisher.waits_on(self.links) or asker.waits_on(self.links)), grace, awaited)
        publisher.finish()
        asker.finish()
        self.board.finish(self.share.index)
        if self.tally.followers:
            await self._receive_rest(grace)
        self.follower.finish()

    async def _receive_rest(self, grace: float) -> None:
        """The deliveries: until all have come, or none for the time of the grace."""
        limit = max(self.plan.duration - self.elapsed, 0.0) + 3 * GRACE_SECONDS
        await until(self.board.all_finished, limit, self.stop)
        delivered = -1
        while delivered != self.tally.delivered and self.follower.can_still_come() and limit > 0:
            delivered = self.tally.delivered
            began = perf_counter()
            quiet = asyncio.Event()
            await until(lambda: not self.follower.can_still_come(), grace, quiet)
            limit -= perf_counter() - began

    def leave(self) -> None:
        """Close every connection."""
        for link in {*self.links, *self.subscribers}:
            link.close()

"""Answers from memory, from the shared cache, or from PostgreSQL, in this order, and all of them the same.

`known` looks at what this process holds, as of the last change that it has applied; the caller asks the barrier before
it uses it. `fetch` goes further and says which position the answer has. Rule: an answer is used only at a position that
the barrier allows, so a copy never changes what is answered; and a question to which something private may belong goes
to PostgreSQL, with its audience.
"""

import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from relay.background import BackgroundTasks
from relay.caching.copies import Copies, Texts, ids_alone
from relay.caching.flight import Flights
from relay.caching.page import Page
from relay.caching.page_cache import event_filter
from relay.caching.probe_policy import ProbePolicy
from relay.caching.shared import Shared
from relay.changes.ring import Ring
from relay.changes.row import id_of
from relay.freshness.arrivals import Arrivals
from relay.freshness.barrier import Barrier, position_now
from relay.protocol.audience import NOBODY, Audience
from relay.protocol.filters import Filter
from relay.protocol.visibility import may_be_private
from relay.storage.filter_sql import asks
from relay.storage.reads import Reads, merged
from relay.storage.store import Store


class Answer(Struct, frozen=True, gc=False):
    """Texts newest first, the state after change `position`. `source`: "l1", "l2", or "none" for PostgreSQL."""

    position: int
    texts: Texts
    source: str = "none"


class Answers:
    """The way to an answer: through the copies of this process, and past them."""

    def __init__(
        self,
        reads: Reads,
        ring: Callable[[], Ring],
        barrier: Barrier,
        tasks: BackgroundTasks,
        *,
        shared: Shared | None,
        store: Callable[[], Store],
        window_bytes: int,
    ) -> None:
        self.arrivals = Arrivals(ring)
        self.copies = Copies(reads, ring, self.arrivals, tasks, shared=shared, store=store, window_bytes=window_bytes)
        self.flights: Flights[Filter, Answer] = Flights()
        self._probe_results = ProbePolicy()
        self._probe_events = ProbePolicy()
        self._reads = reads
        self._ring = ring
        self._barrier = barrier
        self._shared = shared

    def known(self, filters: Sequence[Filter], audience: Audience = NOBODY) -> Texts | None:
        """The answer as of the ring's position, None if it is not wholly in memory."""
        return None if audience and may_be_private(filters, audience) else self.copies.known(filters)

    async def fetch(self, filters: Sequence[Filter], audience: Audience = NOBODY) -> Answer:
        """The answer to a REQ with its position, at or after everything acknowledged before the call. Raises Failed."""
        asking = [flt for flt in filters if asks(flt, audience)]
        if audience and may_be_private(asking, audience):
            position, parts = await self._reads.parts(asking, audience)
            return Answer(position, merged([part.texts for part in parts]))
        if len(asking) == 1:
            return await (self._fetch(asking[0]) if asking[0].ids is None else self._fetch_ids(asking[0]))
        ring = self._ring()
        position, parts = await self._reads.parts(asking)
        for flt, part in zip(asking, parts, strict=True):
            if flt.ids is None:
                self.copies.results.keep(Page(flt, position, part.texts, part.complete), ring)
        return Answer(position, merged([part.texts for part in parts]))

    async def _fetch(self, flt: Filter) -> Answer:
        fetching = _Fetch(self, flt)
        answer = await self.flights.join(flt, fetching.run, self._reads.seconds)
        if fetching.from_database:
            return answer
        # What L2 held, or another question began to fetch, may be older than what was acknowledged before this call.
        return await self._now(flt, "l2" if fetching.led else "l1", answer if answer.source == "none" else None)

    async def _fetch_ids(self, flt: Filter) -> Answer:
        if self._l2_is_up and self._probe_events.should_look():
            unknown = self.copies.unknown_ids(flt, int(time.time()))
            found = await self.copies.events.load(unknown)
            self._probe_events.looked(found == len(unknown))
            if found == len(unknown):
                return await self._now(flt, "l2")
        return await self._from_database(flt)

    @property
    def _l2_is_up(self) -> bool:
        return self._shared is not None and self._shared.up

    async def _now(self, flt: Filter, source: str, fetched: Answer | None = None) -> Answer:
        """The answer from memory as of now, as the barrier wants it, or from the database.

        `fetched`: what PostgreSQL has just answered another question; it serves if it is new enough, however large.
        """
        position = await position_now(self._barrier)
        if position is not None and fetched is not None and fetched.position >= position:
            return fetched
        if position is not None and await self.arrivals.reached(position):
            texts = self.copies.known((flt,))
            if texts is not None:
                return Answer(self._ring().position, texts, source)
        return await self._from_database(flt)

    async def _from_database(self, flt: Filter) -> Answer:
        ring = self._ring()
        position, (part,) = await self._reads.parts([flt])
        if flt.ids is None:
            self.copies.results.keep(Page(flt, position, part.texts, part.complete), ring)
        elif ids_alone(flt) and len(flt.ids) <= flt.limit:
            texts = {id_of(text).decode("ascii"): text for text in part.texts}
            for event_id in flt.ids:
                found = [texts[event_id]] if event_id in texts else []
                self.copies.events.keep(Page(event_filter(event_id), position, found, True), ring)
        return Answer(position, part.texts)

    async def caught_up(self) -> bool:
        """True once this process has reached all that was acknowledged before the call; False if that takes long."""
        position = await position_now(self._barrier)
        ring = self._ring()
        return (
            position is not None
            and await self.arrivals.reached(max(position, ring.whole_from))
            and ring is self._ring()
        )


class _Fetch:
    """One fetch of one filter, for all questions of this process that ask for it meanwhile."""

    __slots__ = ("_answers", "_flt", "from_database", "led")

    def __init__(self, answers: Answers, flt: Filter) -> None:
        self.led = False
        self.from_database = False
        """It came from PostgreSQL, and was begun by the question that holds this object."""
        self._answers = answers
        self._flt = flt

    async def run(self) -> Answer:
        self.led = True
        answers, flt = self._answers, self._flt
        if answers._l2_is_up and answers._probe_results.should_look():
            found = await answers.copies.results.load([flt])
            answers._probe_results.looked(bool(found))
            if found:
                return Answer(0, (), "l2")  # it is in L1 now
        answer = await answers._from_database(flt)
        self.from_database = True
        return answer

"""Answers from memory, from the shared cache, or from PostgreSQL, in this order, and all of them the same.

`copies.known` looks at what this process holds, as of the last change that it has applied; the caller asks the barrier
before it believes it. `fetch` goes further and says which position the answer has. Rule: an answer is used only at a
position that the barrier allows, so a copy never changes what is answered.
"""

import asyncio
import math
from collections.abc import Callable, Sequence

from msgspec import Struct

from relay.caching.arrivals import Arrivals
from relay.caching.barrier import Barrier
from relay.caching.copies import Copies, Texts, ids_alone
from relay.caching.flight import Across, Flights
from relay.caching.page import Page
from relay.caching.shared import Shared
from relay.caching.worth import Worth
from relay.changes.ring import Ring
from relay.changes.row import Row, id_of
from relay.protocol.filters import Filter
from relay.storage.filter_sql import MAX_WALKS, asks, rows_wanted
from relay.storage.reads import Reads, merged

COSTLY_ROWS = 500
"""A filter that may look at so many rows is fetched by one instance at a time."""


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
        *,
        shared: Shared | None,
        epoch: Callable[[], int],
        window_bytes: int,
    ) -> None:
        self._arrivals = Arrivals(ring, barrier.doubt)
        self.when = self._arrivals.when
        self.has_come = self._arrivals.has_come
        self.copies = Copies(reads, ring, self._arrivals, shared=shared, epoch=epoch, window_bytes=window_bytes)
        self.worth = Worth()
        self.flights: Flights[Filter, Answer] = Flights()
        self.flights_across = Across(shared) if shared is not None else None
        self._worth_events = Worth()
        self._reads = reads
        self._ring = ring
        self._barrier = barrier
        self._shared = shared

    async def fetch(self, filters: Sequence[Filter]) -> Answer:
        """The answer to a REQ with its position, at or after everything acknowledged before the call. Raises Failed."""
        asking = [flt for flt in filters if asks(flt)]
        if len(asking) == 1:
            return await (self._fetch(asking[0]) if asking[0].ids is None else self._fetch_ids(asking[0]))
        ring = self._ring()
        position, parts = await self._reads.parts(asking)
        for flt, part in zip(asking, parts, strict=True):
            self._remember(Page(flt, position, part.texts, part.complete), ring)
        return Answer(position, merged([part.texts for part in parts]))

    async def _fetch(self, flt: Filter) -> Answer:
        fetching = _Fetch(self, flt)
        answer = await self.flights.join(flt, fetching.run, self._reads.query_seconds)
        if fetching.from_primary:
            return answer
        # What somebody else began, or what L2 held, may be older than what was acknowledged before this call.
        return await self._now(flt, "l2" if fetching.led else "l1", answer if answer.source == "none" else None)

    async def _fetch_ids(self, flt: Filter) -> Answer:
        if self._shared is not None and self._shared.up and self._worth_events.ask():
            ring = self._ring()
            unknown = [i for i in flt.ids or () if ring.event(i) is None and self.copies.events.find(i, ring) is None]
            found = await self.copies.events.load(unknown, self._ring)
            self._worth_events.saw(found == len(unknown))
            if found == len(unknown):
                return await self._now(flt, "l2")
        return await self._from_primary(flt)

    async def _now(self, flt: Filter, source: str, shared: Answer | None = None) -> Answer:
        """The answer from memory as of now, as the barrier wants it, or from the primary.

        `shared`: what PostgreSQL has just answered somebody else; it serves if it is new enough, however large it is.
        """
        number = await self._target()
        if number is not None and shared is not None and shared.position >= number:
            return shared
        if number is not None and await self._arrivals.has_come(number):
            texts = self.copies.known((flt,))
            if texts is not None:
                return Answer(self._ring().position, texts, source)
        return await self._from_primary(flt)

    async def _target(self) -> int | None:
        told: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._barrier.join(lambda number: None if told.done() else told.set_result(number))
        return await told

    async def plainly(self, flt: Filter) -> Answer:
        """The answer of PostgreSQL to just this filter, written to L2 for all who wait for it."""
        result = await self._from_primary(flt)
        page = self.copies.pages.kept(flt)
        if page is not None:
            self.copies.pages.write(page)
        return result

    async def _from_primary(self, flt: Filter) -> Answer:
        ring = self._ring()
        position, (part,) = await self._reads.parts([flt])
        if flt.ids is None:
            self.copies.pages.keep(Page(flt, position, part.texts, part.complete), ring)
        elif ids_alone(flt) and len(flt.ids) <= flt.limit and ring is self._ring():
            rows = {id_of(text).decode("ascii"): Row.of(text) for text in part.texts}
            for event_id in flt.ids:
                self.copies.events.keep(event_id, position, rows.get(event_id))
        return Answer(position, part.texts)

    async def from_primary(self, flt: Filter) -> Answer:
        """The answer of PostgreSQL; a feed that is asked for again is fetched in its place, and kept."""
        base = self.copies.pages.feed_wanted(flt)
        if base is None:
            return await self._from_primary(flt)
        ring = self._ring()
        position, (part,) = await self._reads.parts([base])
        feed = Page(base, position, part.texts, part.complete)
        texts = feed.answer(flt)
        if texts is None:
            self.copies.pages.feed_refused(base)
            return await self._from_primary(flt)
        self.copies.pages.keep_feed(feed, ring)
        return Answer(position, texts)

    def _remember(self, page: Page, ring: Ring) -> None:
        if page.flt.ids is None:
            self.copies.pages.keep(page, ring)

    async def caught_up(self) -> bool:
        """True once this process has come to all that was acknowledged before the call; False if that takes long."""
        number = await self._target()
        ring = self._ring()
        return (
            number is not None and await self._arrivals.has_come(max(number, ring.whole_from)) and ring is self._ring()
        )

    @property
    def across(self) -> Across | None:
        """Single flight over all instances; None when there is no L2 to agree through."""
        return self.flights_across if self._shared is not None and self._shared.up else None


class _Fetch:
    """One fetch of one filter, for all in this process who ask for it meanwhile."""

    __slots__ = ("_answers", "_flt", "from_primary", "led")

    def __init__(self, answers: Answers, flt: Filter) -> None:
        self.led = False
        self.from_primary = False  # it came from PostgreSQL, and was begun by whoever holds this object
        self._answers = answers
        self._flt = flt

    async def run(self) -> Answer:
        self.led = True
        answers, flt = self._answers, self._flt
        across = answers.across
        if across is None:
            return await self._primary()
        if answers.worth.ask():
            result = await self._shared()
            answers.worth.saw(result is not None)
            if result is not None:
                return result
        if not costly(flt):
            return await self._primary()
        key = answers.copies.pages.key(flt)
        return await across.fetch(key, self._shared, self._primary_for_all)

    async def _shared(self) -> Answer | None:
        page = await self._answers.copies.pages.read(self._flt)
        return None if page is None else Answer(page.position, page.texts, "l2")

    async def _primary(self) -> Answer:
        result = await self._answers.from_primary(self._flt)
        self.from_primary = True
        return result

    async def _primary_for_all(self) -> Answer:
        result = await self._answers.plainly(self._flt)
        self.from_primary = True
        return result


def costly(flt: Filter) -> bool:
    """True for a filter that may look at COSTLY_ROWS rows or more: one instance fetches it for all."""
    values = [len(keys) for keys in (flt.authors, flt.kinds) if keys is not None]
    walks = min((len(keys) for _, keys in flt.tags), default=1) if flt.tags else math.prod(values)
    return min(walks, MAX_WALKS) * rows_wanted(flt) >= COSTLY_ROWS

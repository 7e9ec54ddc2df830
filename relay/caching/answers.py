"""Answers from memory (L1), the shared cache (L2) or PostgreSQL, in this order, all of them equal.

`known` reads this process's copies as of its ring's position; the caller asks the barrier before sending. `fetch` also
reads L2 and PostgreSQL and returns a position. Rule: an answer is used only at a position that the barrier allows, so a
copy never changes an answer. A query whose answer may hold private events goes to PostgreSQL with its audience.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct, structs

from relay.background import BackgroundTasks
from relay.caching.copies import Copies, Known
from relay.caching.page import Page
from relay.caching.page_cache import PageCache
from relay.caching.shared import Shared
from relay.caching.single_flight import SingleFlight
from relay.changes.ring import Ring
from relay.freshness.arrivals import Arrivals
from relay.freshness.barrier import Barrier, position_now
from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.errors import RateLimited
from relay.protocol.filters import Filter
from relay.protocol.messages import End
from relay.protocol.visibility import may_be_private, readable_part
from relay.storage.fair_queue import INTERNAL
from relay.storage.filter_sql import needs_query
from relay.storage.read_result import Item, Part, end_for, end_of, merged
from relay.storage.reads import Reads
from relay.storage.store import Store


class Answer(Struct, frozen=True, gc=False):
    """Events newest first, the state after change `position`: texts, or keys of those that PostgreSQL has not sent yet.

    `source`: "l1", "l2", or "none" for PostgreSQL.
    """

    position: int
    items: Sequence[Item]
    source: str = "none"
    end: End = End.UNKNOWN


class Answers:
    """Looks answers up in the copies of this process and fetches what they do not hold."""

    def __init__(
        self,
        reads: Reads,
        arrivals: Arrivals,
        ring: Callable[[], Ring],
        barrier: Barrier,
        tasks: BackgroundTasks,
        *,
        shared: Shared | None,
        store: Callable[[], Store],
        window_bytes: int,
    ) -> None:
        self.arrivals = arrivals
        self.copies = Copies(reads, ring, self.arrivals, tasks, shared=shared, store=store, window_bytes=window_bytes)
        self.flights: SingleFlight[tuple[object, ...], Answer] = SingleFlight()
        self._reads = reads
        self._ring = ring
        self._barrier = barrier

    def known(self, filters: Sequence[Filter], audience: Audience = ANONYMOUS) -> Known | None:
        """The answer as of the ring's position, None unless the copies of this process hold all of it."""
        asked = [readable_part(flt, audience) for flt in filters]
        return None if audience and may_be_private(asked, audience) else self.copies.known(asked)

    async def fetch(self, filters: Sequence[Filter], audience: Audience = ANONYMOUS, owner: str = INTERNAL) -> Answer:
        """The answer to a REQ of `owner` and its position, at or after everything acknowledged before the call.

        Raises RelayError (`Reads.query`). The caller limits the time, and cancels it: another time-out would cost as
        much as all that is looked up here.
        """
        asking = [readable_part(flt, audience) for flt in filters if needs_query(flt, audience)]
        if len(asking) == 1 and not (audience and may_be_private(asking, audience)):
            answer = await self._fetch(asking[0], owner)
        else:
            answer = await self._fetch_all(asking, audience, owner)
        end = end_for(filters, audience, answer.end)
        return answer if end is answer.end else structs.replace(answer, end=end)

    async def _fetch_all(self, asking: Sequence[Filter], audience: Audience, owner: str) -> Answer:
        if audience and may_be_private(asking, audience):
            position, parts = await self._reads.parts(asking, audience, owner=owner)
            return _united(position, parts)
        ring = self._ring()
        position, parts = await self._reads.parts(asking, owner=owner)
        for flt, part in zip(asking, parts, strict=True):
            self._keep(flt, self.copies.cache_of(flt), position, part, ring)
        return _united(position, parts)

    async def _fetch(self, flt: Filter, owner: str) -> Answer:
        fetching = _Fetch(self, flt, owner)
        try:
            answer = await self.flights.join(flt.key, fetching.run)
        except RateLimited:
            if fetching.led:
                raise
            # Too many queries of another owner wait; this one is asked in the turn of its own.
            return await self._from_database(flt, owner, self.copies.cache_of(flt))
        if fetching.from_database:
            return answer
        # A page of L2, or a fetch that another query started, may be older than what was acknowledged before this call.
        return await self._now(flt, owner, "l2" if fetching.led else "l1", answer if answer.source == "none" else None)

    async def _now(self, flt: Filter, owner: str, source: str, fetched: Answer | None = None) -> Answer:
        """The answer as of now: from memory, at the position that the barrier names, or else from the database.

        `fetched` is what PostgreSQL has just answered another query; it is returned if it is new enough, however large.
        """
        position = await position_now(self._barrier)
        if position is not None and fetched is not None and fetched.position >= position:
            return fetched
        if position is not None and await self.arrivals.reached(position):
            known = self.copies.known((flt,))
            if known is not None:
                return Answer(self._ring().position, known.texts, source, known.end)
        return await self._from_database(flt, owner, self.copies.cache_of(flt))

    async def _from_database(self, flt: Filter, owner: str, place: tuple[PageCache, Filter]) -> Answer:
        ring = self._ring()
        position, (part,) = await self._reads.parts([flt], owner=owner)
        self._keep(flt, place, position, part, ring)
        return Answer(position, part.items, "none", end_of([part], part.items))

    def _keep(self, flt: Filter, place: tuple[PageCache, Filter], position: int, part: Part, ring: Ring) -> None:
        """Keep a part as a page of the cache and under the key that `Copies.cache_of` names, if the cache admits it.

        What others wait for is kept: the log may go on before they look, and each would ask PostgreSQL again.
        """
        pages, key = place
        # One with keys is larger than what is fetched at once, and than what a cache keeps.
        if not part.keys and (pages.admits() or self.flights.is_joined(flt.key)):
            pages.keep(Page(key, position, part.texts, part.complete, part.lasting_next), ring)

    async def caught_up(self) -> bool:
        """True when this process has applied everything acknowledged before the call; False on time-out."""
        position = await position_now(self._barrier)
        ring = self._ring()
        return (
            position is not None
            and await self.arrivals.reached(max(position, ring.complete_from))
            and ring is self._ring()
        )


def _united(position: int, parts: Sequence[Part]) -> Answer:
    items = merged([part.items for part in parts])
    return Answer(position, items, "none", end_of(parts, items))


class _Fetch:
    """One fetch of one filter, shared by all queries of this process that ask for it meanwhile."""

    __slots__ = ("_answers", "_flt", "_owner", "from_database", "led")

    def __init__(self, answers: Answers, flt: Filter, owner: str) -> None:
        self.led = False
        self.from_database = False
        """True if PostgreSQL answered, in a fetch started by the holder of this object."""
        self._answers = answers
        self._flt = flt
        self._owner = owner

    async def run(self) -> Answer:
        self.led = True
        answers, flt = self._answers, self._flt
        place = pages, key = answers.copies.cache_of(flt)
        if await pages.load([key]):
            return Answer(0, (), "l2")  # it is in L1 now
        answer = await answers._from_database(flt, self._owner, place)
        self.from_database = True
        return answer

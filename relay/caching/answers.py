"""Answers from memory, from the shared cache, or from PostgreSQL, in this order, and all of them the same.

`known` looks at what this process holds, as of the last change that it has applied; the caller asks the barrier before
it believes it. `fetch` goes further and says which position the answer has. Rule: an answer is used only at a
position that the barrier allows, so a copy never changes what is answered.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from relay.caching.barrier import Barrier
from relay.caching.events import Events
from relay.caching.feeds import feed_of
from relay.caching.flight import Across, Flights
from relay.caching.memory import Memory
from relay.caching.page import Page
from relay.caching.profiles import PROFILE_KIND, Profiles
from relay.caching.record import Record, digest, pack, result_key, unpack
from relay.caching.registry import CacheCounters, Layer, registry
from relay.caching.shared import Shared
from relay.caching.spread import ttl_seconds
from relay.caching.worth import Worth
from relay.changes.change import Batch, Change, Removed
from relay.changes.overlay import cut, newest_first
from relay.changes.ring import Ring
from relay.changes.row import Row, id_of
from relay.changes.window import Window
from relay.protocol.errors import Failed
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter
from relay.protocol.visibility import NEVER_SERVED_KINDS, visible
from relay.storage.filter_sql import MAX_WALKS, asks, rows_wanted
from relay.storage.newest import events_below
from relay.storage.reads import Reads, merged

log = logging.getLogger("relay.answers")

LATE_SECONDS = 0.025
"""How long an answer from memory waits for a change that is known to exist, before PostgreSQL is asked."""

MAX_AT_ONCE = 100
"""Changes that are worked into the window in one turn of the loop: a millisecond or two."""

REST_SECONDS = 0.015
"""Between two such turns: after a burst of 20,000 events the window is worked forward in three seconds, with a tenth
of the core."""

FILL_EVENTS = 200
FILL_PAUSE_SECONDS = 0.003
SWEEP_SECONDS = 5.0
COSTLY_ROWS = 500
"""A filter that may look at so many rows is fetched by one instance at a time."""

MAX_PAGE_BYTES = 2_097_152
"""A larger answer is not kept: a few of them would take the place of thousands."""

Texts = Sequence[bytes]


class Answer(Struct, frozen=True, gc=False):
    """Texts newest first, the state after change `position`. `source`: "l1", "l2", or "none" for PostgreSQL."""

    position: int
    texts: Texts
    source: str = "none"


class Answers:
    """The copies of one process, and the way past them."""

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
        self.window = Window(window_bytes)
        self.events = Events(shared, epoch)
        self.profiles = Profiles(shared, epoch)
        self.window_counters = registry.register(
            CacheCounters(
                "window",
                Layer.L1,
                size=self.window.__len__,
                bytes=lambda: self.window.bytes,
                clear=self.clear_window,
            )
        )
        self.feeds_counters = registry.register(CacheCounters("feeds", Layer.L1))
        self.results_counters = registry.register(CacheCounters("results", Layer.L1))
        self.shared_counters = registry.register(CacheCounters("results", Layer.L2))
        self._reads = reads
        self._ring = ring
        self._barrier = barrier
        self._shared = shared
        self.epoch = epoch
        self._results: Memory[Filter, Page] = Memory(self.results_counters)
        self._feeds: Memory[Filter, Page] = Memory(self.feeds_counters)
        self._asked_feeds: Memory[Filter, bool] = Memory(CacheCounters("asked feeds", Layer.L1))
        self._flights: Flights[Filter, Answer] = Flights()
        self._across = Across(shared) if shared is not None else None
        self.worth = Worth()
        self._worth_events = Worth()
        self._late: list[_Late] = []
        self._has_window = window_bytes > 0
        self._filling = False
        self._wake_window = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to fill the window; needs a running loop."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._sweep(), name="relay caches")]
        if self._has_window:
            self._wake_window.set()
            self._tasks.append(loop.create_task(self._keep_window(), name="relay window"))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def clear(self) -> None:
        """Drop the copies of this process; the window is filled again."""
        self._results.clear()
        self._feeds.clear()
        self.events.clear()
        self.profiles.clear()
        self.clear_window()

    def clear_window(self) -> int:
        """Drop what the window holds, and fill it again; returns how many events went."""
        count = len(self.window)
        self.window.clear()
        if self._tasks:  # one that is filling it must not go on from where it was
            for task in self._tasks:
                task.cancel()
            self.start()
        return count

    def apply(self, changes: Sequence[Change]) -> None:
        """Take in changes that the ring has just taken in."""
        for change in changes:
            if type(change) is Removed:
                self.events.removed(change.event_id)
            elif change.event.kind == PROFILE_KIND:  # type: ignore[union-attr]
                self.profiles.apply(change)  # type: ignore[arg-type]
        if self._late:
            self._arrived()

    def published(self, batch: Batch) -> None:
        """This process has committed the batch."""
        self.events.published(batch)
        self.profiles.published(batch)

    # -- From memory --------------------------------------------------------------------------------------------------

    def known(self, filters: Sequence[Filter]) -> Texts | None:
        """The answer to a REQ as of the ring's position, None if it is not wholly in memory."""
        ring = self._ring()
        if ring.position < ring.whole_from:
            return None
        now = int(time.time())
        if len(filters) == 1:
            return self._known(filters[0], now)
        found = []
        for flt in filters:
            texts = self._known(flt, now)
            if texts is None:
                return None
            found.append(texts)
        return merged(found)

    def _known(self, flt: Filter, now: int) -> Texts | None:
        if self._has_window:
            events = self.window.find(flt, now) if self._window_is_at_hand() else None
            if events is not None:
                self.window_counters.hits += 1
                return [event.json for event in events]
            self.window_counters.misses += 1
        if flt.ids is not None:
            return self._known_ids(flt, now)
        ring = self._ring()
        page = self._at_hand(self._results, flt, ring, now)
        if page is not None:
            self.results_counters.hits += 1
            self._share(page, ring)
            return page.texts
        self.results_counters.misses += 1
        base = feed_of(flt)
        if base is not None:
            feed = self._at_hand(self._feeds, base, ring, now)
            texts = None if feed is None else feed.answer(flt)
            if texts is not None:
                self.feeds_counters.hits += 1
                return texts
            self.feeds_counters.misses += 1
        return None

    def _window_is_at_hand(self) -> bool:
        """True if the window stands where the ring does; a few changes are worked in now, many in the background."""
        window, ring = self.window, self._ring()
        if window.position == ring.position:
            return True
        if self._filling or ring.position - window.position > MAX_AT_ONCE or window.position < ring.floor:
            self._wake_window.set()
            return False
        window.apply(ring.since(window.position), ring.position)
        return True

    @staticmethod
    def _at_hand(pages: Memory[Filter, Page], flt: Filter, ring: Ring, now: int) -> Page | None:
        page = pages.get(flt)
        if page is None or page.position > ring.position:  # ahead of what was applied here: of use in a moment
            return None
        if page.bring(ring, now):
            return page
        pages.drop(flt)
        return None

    def _known_ids(self, flt: Filter, now: int) -> Texts | None:
        ring = self._ring()
        rows: list[Row | StoredEvent] = []
        for event_id in flt.ids or ():
            event = ring.event(event_id)
            if event is None and self.window.position == ring.position:
                event = self.window.event(event_id)
            if event is not None:
                if visible(event, now) and flt.matches(event):
                    rows.append(event)
                continue
            copy = self.events.find(event_id, ring)
            if copy is None:
                self.events.l1.misses += 1
                return None
            row = copy.row
            if row is None or row.kind in NEVER_SERVED_KINDS or (row.expires_at is not None and row.expires_at <= now):
                continue
            if _ids_alone(flt) or flt.matches(StoredEvent.from_json(row.json)):
                rows.append(row)
        self.events.l1.hits += 1
        rows.sort(key=newest_first)
        return [row.json for row in cut(rows, flt)]

    # -- Beyond memory ------------------------------------------------------------------------------------------------

    async def fetch(self, filters: Sequence[Filter]) -> Answer:
        """The answer to a REQ with its position, at or after everything acknowledged before the call. Raises Failed."""
        asking = [flt for flt in filters if asks(flt)]
        if len(asking) == 1:
            return await (self._fetch(asking[0]) if asking[0].ids is None else self._fetch_ids(asking[0]))
        ring = self._ring()
        position, parts = await self._reads.parts(asking)
        for flt, part in zip(asking, parts, strict=True):
            self._keep(Page(flt, position, part.texts, part.complete), ring)
        return Answer(position, merged([part.texts for part in parts]))

    async def _fetch(self, flt: Filter) -> Answer:
        fetching = _Fetch(self, flt)
        answer = await self._flights.join(flt, fetching.run, self._reads.query_seconds)
        if fetching.from_primary:
            return answer
        # What somebody else began, or what L2 held, may be older than what was acknowledged before this call.
        return await self._now(flt, "l2" if fetching.led else "l1", answer if answer.source == "none" else None)

    async def _fetch_ids(self, flt: Filter) -> Answer:
        if self._shared is not None and self._shared.up and self._worth_events.ask():
            ring = self._ring()
            unknown = [i for i in flt.ids or () if ring.event(i) is None and self.events.find(i, ring) is None]
            found = await self.events.load(unknown, self._ring)
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
        if number is not None and await self.has_come(number):
            texts = self.known((flt,))
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
        page = self._results.get(flt)
        if page is not None:
            self.write(page)
        return result

    async def _from_primary(self, flt: Filter) -> Answer:
        ring = self._ring()
        position, (part,) = await self._reads.parts([flt])
        if flt.ids is None:
            self._keep(Page(flt, position, part.texts, part.complete), ring)
        elif _ids_alone(flt) and len(flt.ids) <= flt.limit and ring is self._ring():
            rows = {id_of(text).decode("ascii"): Row.of(text) for text in part.texts}
            for event_id in flt.ids:
                self.events.keep(event_id, position, rows.get(event_id))
        return Answer(position, part.texts)

    async def from_primary(self, flt: Filter) -> Answer:
        """The answer of PostgreSQL; a feed that is asked for again is fetched in its place, and kept."""
        base = feed_of(flt)
        if base is None or self._asked_feeds.get(base) is None:
            if base is not None:
                self._asked_feeds.put(base, True, 0)
            return await self._from_primary(flt)
        ring = self._ring()
        position, (part,) = await self._reads.parts([base])
        feed = Page(base, position, part.texts, part.complete)
        texts = feed.answer(flt)
        if texts is None:
            self._asked_feeds.drop(base)
            return await self._from_primary(flt)
        if feed.size_bytes <= MAX_PAGE_BYTES and ring is self._ring():
            self._feeds.put(base, feed, feed.size_bytes)
        return Answer(position, texts)

    def _keep(self, page: Page, ring: Ring) -> None:
        """Keep a page that was asked for when `ring` was this process's: after another beginning, which may be that of
        an epoch, its position may mean something else.
        """
        if page.flt.ids is None and page.size_bytes <= MAX_PAGE_BYTES and ring is self._ring():
            self._results.put(page.flt, page, page.size_bytes)

    # -- The shared cache ---------------------------------------------------------------------------------------------

    def _share(self, page: Page, ring: Ring) -> None:
        """Have L2 hold a page that was asked for again, and no copy that the rings will soon not reach."""
        if page.shared_at * 2 > ring.floor + ring.position or self._shared is None or not self._shared.up:
            return
        self.write(page)

    def write(self, page: Page) -> None:
        """Write a page to L2, without waiting for it."""
        if self._shared is None or page.size_bytes > MAX_PAGE_BYTES:
            return
        page.shared_at = page.position
        owner = digest(page.flt)
        value = pack(owner, Record(page.position, page.complete, list(page.texts)))
        self._shared.set(result_key(self.epoch(), owner), value, ttl_seconds(page.expires_at))

    async def read(self, flt: Filter) -> Page | None:
        """What L2 holds for a filter, kept in L1; None if that is nothing, too old for the ring, or not ours."""
        assert self._shared is not None
        owner, before = digest(flt), self._ring()
        (value,) = await self._shared.get_many([result_key(self.epoch(), owner)])
        page = None
        if value is not None and self._ring() is before:
            try:
                record = unpack(owner, value)
                page = Page(flt, record.position, record.texts, record.complete)
            except ValueError:
                self.shared_counters.errors += 1
        if page is None or page.position < self._ring().floor:
            self.shared_counters.misses += 1
            return None
        self.shared_counters.hits += 1
        page.shared_at = page.position
        self._keep(page, before)
        return page

    @property
    def across(self) -> Across | None:
        """Single flight over all instances; None when there is no L2 to agree through."""
        return self._across if self._shared is not None and self._shared.up else None

    # -- Time ---------------------------------------------------------------------------------------------------------

    def when(self, position: int, then: Callable[[bool], None]) -> None:
        """Call `then`, at once or when the ring has come to `position`: with True, or with False when it takes long."""
        if self._ring().position >= position:
            then(True)
            return
        late = _Late(position, then)
        self._late.append(late)
        asyncio.get_running_loop().call_later(LATE_SECONDS, self._give_up, late)

    async def caught_up(self) -> bool:
        """True once this process has come to all that was acknowledged before the call; False if that takes long."""
        number = await self._target()
        ring = self._ring()
        return number is not None and await self.has_come(max(number, ring.whole_from)) and ring is self._ring()

    async def has_come(self, position: int) -> bool:
        """True once the ring has come to `position`, False when it takes long."""
        if self._ring().position >= position:
            return True
        come: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.when(position, lambda yes: None if come.done() else come.set_result(yes))
        return await come

    def _arrived(self) -> None:
        position = self._ring().position
        arrived = [late for late in self._late if late.position <= position]
        if arrived:
            self._late = [late for late in self._late if late.position > position]
            for late in arrived:
                late.tell(True)

    def _give_up(self, late: "_Late") -> None:
        if late.then is not None:
            self._late.remove(late)
            self._barrier.doubt(late.position)
            late.tell(False)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for memory in (self._results, self._feeds, self._asked_feeds):
                memory.sweep(now)
            self.events.sweep(now)
            self.profiles.sweep(now)

    async def _keep_window(self) -> None:
        """Fill the window from the newest event downwards, and bring it forward whenever somebody asks."""
        while True:
            await self._wake_window.wait()
            self._wake_window.clear()
            self._filling = True
            try:
                await self._catch_up()
                await self._fill()
            except Failed:
                await asyncio.sleep(1)
                self._wake_window.set()
            finally:
                self._filling = False

    async def _catch_up(self) -> None:
        """Work in what has come, a little at a time; begin anew if the ring has lost some of it."""
        window = self.window
        while (ring := self._ring()).position != window.position:
            if window.position < ring.floor:
                window.clear()
                return
            changes = ring.since(window.position)
            for start in range(0, len(changes), MAX_AT_ONCE):
                part = changes[start : start + MAX_AT_ONCE]
                window.apply(part, part[-1].seq)
                await asyncio.sleep(REST_SECONDS)
                if self._ring() is not ring:
                    window.clear()
                    return

    async def _fill(self) -> None:
        window = self.window
        while not (window.complete or window.full):
            position, events = await events_below(self._reads, window.floor, FILL_EVENTS)
            if await self.has_come(position):
                ring = self._ring()
                if position < ring.floor or -1 < window.position < ring.floor:
                    window.clear()
                    continue
                begin = position if window.position < 0 else min(position, window.position)
                window.extend(events, len(events) < FILL_EVENTS, ring.since(begin), ring.position)
            await asyncio.sleep(FILL_PAUSE_SECONDS)


class _Late:
    """Somebody who waits for a position."""

    __slots__ = ("position", "then")

    def __init__(self, position: int, then: Callable[[bool], None]) -> None:
        self.position = position
        self.then: Callable[[bool], None] | None = then

    def tell(self, come: bool) -> None:
        then, self.then = self.then, None
        if then is not None:
            then(come)


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
        key = result_key(answers.epoch(), digest(flt))
        return await across.fetch(key, self._shared, self._primary_for_all)

    async def _shared(self) -> Answer | None:
        page = await self._answers.read(self._flt)
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


def _ids_alone(flt: Filter) -> bool:
    return flt.authors is None and flt.kinds is None and flt.since is None and flt.until is None and not flt.tags

"""Fills the shared cache with what clients will ask for: after it was emptied, or before many clients come.

Rule: it writes copies as any process does, each with its position, so it never changes an answer. It is bounded: at
most some 60,000 events in pieces of a few hundred, whatever the size of the store.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from relay.caching.page import Page
from relay.caching.page_cache import MAX_PAGE_BYTES, event_filter, item, profile_filter
from relay.caching.shared import Reply, Shared
from relay.caching.shared.server_link import all_of
from relay.changes.row import id_of
from relay.protocol.filters import Filter
from relay.protocol.limits import Limits
from relay.storage.activity import activity
from relay.storage.profiles import TooLarge, newest_profiles
from relay.storage.read_result import Part
from relay.storage.reads import Reads

T = TypeVar("T")

RECENT = 10_000
"""The newest events, in which common kinds, active authors and popular threads are counted."""

KINDS, KIND_EVENTS = 8, 1_000
AUTHORS, AUTHORS_AT_ONCE = 1_000, 200
THREADS, THREADS_AT_ONCE = 100, 10
UNDER_WAY_BYTES = 1_048_576


@dataclass(slots=True)
class Warmed:
    """What was written so far: events by id, answers of filters, profiles."""

    events: int = 0
    results: int = 0
    profiles: int = 0


Tell = Callable[[int, int, str], None]
"""Called before each step with its number from 0, the number of steps, and a description."""


class Warming:
    """One filling of the shared cache."""

    def __init__(self, shared: Shared, reads: Reads, store: str, limits: Limits, done: Warmed) -> None:
        """`store` is `Store.name`; `done` is updated while pages are written."""
        self.done = done
        self._shared = shared
        self._reads = reads
        self._store = store
        self._limits = limits

    async def run(self, tell: Tell) -> None:
        """Write everything. Raises Failed for the database, Unavailable or ReplyError for the shared cache."""
        found = await activity(self._reads, RECENT, KINDS, AUTHORS, THREADS)
        authors, threads = chunks(found.authors, AUTHORS_AT_ONCE), chunks(found.threads, THREADS_AT_ONCE)
        total = len(found.kinds) + len(authors) + len(threads)
        step = 0
        for kind in found.kinds:
            tell(step, total, f"the newest events of kind {kind}")
            await self._kind(kind)
            step += 1
        for group in authors:
            tell(step, total, f"profiles of {len(found.authors):,} active authors")
            await self._profiles(group)
            step += 1
        for group in threads:
            tell(step, total, f"{len(found.threads):,} popular threads")
            await self._threads(group)
            step += 1
        tell(total, total, "done")

    async def _kind(self, kind: int) -> None:
        newest = self._filter(kinds=frozenset([kind]), limit=KIND_EVENTS)
        asked = self._filter(kinds=frozenset([kind]))
        position, (events, answer) = await self._reads.parts([newest, asked])
        await self._results(position, [(asked, answer)])
        await self._events(position, events.texts)

    async def _threads(self, ids: Sequence[str]) -> None:
        """The events that others refer to, and the answers of the filters that ask for references to them."""
        asked = [self._filter(tags=(("e", frozenset([f"e{event_id}"])),)) for event_id in ids]
        roots = self._filter(ids=frozenset(ids))
        position, (events, *answers) = await self._reads.parts([roots, *asked])
        await self._results(position, zip(asked, answers, strict=True))
        await self._events(position, [*events.texts, *(text for part in answers for text in part.texts)])

    async def _profiles(self, pubkeys: Sequence[str]) -> None:
        try:
            position, texts = await newest_profiles(self._reads, pubkeys)
        except TooLarge:
            if len(pubkeys) > 1:  # one alone is larger than a page may be
                for half in chunks(pubkeys, (len(pubkeys) + 1) // 2):
                    await self._profiles(half)
            return
        pages = [
            Page(profile_filter(pubkey), position, [texts[pubkey]] if pubkey in texts else [], True)
            for pubkey in pubkeys
        ]
        self.done.profiles += await self._write("profiles", pages)

    async def _results(self, position: int, answers: Iterable[tuple[Filter, Part]]) -> None:
        pages = [
            Page(flt, position, part.texts, part.complete, part.lasting_next) for flt, part in answers if not part.keys
        ]
        self.done.results += await self._write("results", pages)

    async def _events(self, position: int, texts: Sequence[bytes]) -> None:
        pages = [Page(event_filter(id_of(text).decode()), position, [text], True) for text in texts]
        self.done.events += await self._write("events", pages)

    async def _write(self, cache: str, pages: Iterable[Page]) -> int:
        """Write pages and wait, so that no more is under way than the server takes; returns how many were written."""
        under_way: list[asyncio.Future[Reply]] = []
        size = written = 0
        for page in pages:
            if page.size_bytes > MAX_PAGE_BYTES:
                continue
            key, value, seconds = item(self._store, cache, page)
            under_way.append(self._shared.call(key, b"SET", key, value, b"PX", max(1, int(seconds * 1000))))
            written += 1
            size += len(value)
            if size > UNDER_WAY_BYTES:
                await all_of(under_way)
                under_way, size = [], 0
        await all_of(under_way)
        return written

    def _filter(
        self,
        *,
        ids: frozenset[str] | None = None,
        kinds: frozenset[int] | None = None,
        tags: tuple[tuple[str, frozenset[str]], ...] = (),
        limit: int | None = None,
    ) -> Filter:
        """The filter of a client without a limit; with `limit`, one of our own."""
        own = min(self._limits.default_limit, self._limits.max_limit) if limit is None else limit
        return Filter(ids, None, kinds, None, None, own, limit is None, tags)


def chunks(values: Sequence[T], size: int) -> list[Sequence[T]]:
    """The values in order, `size` at a time."""
    return [values[start : start + size] for start in range(0, len(values), size)]

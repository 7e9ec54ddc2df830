"""Fills the shared cache with what will be asked for: after it was emptied, or before a crowd comes.

Rule: it writes copies as any process does, each with its position, and so never changes an answer. It is bounded: at
most some 60,000 events in pieces of a few hundred, whatever the store holds.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from relay.caching.pages import MAX_PAGE_BYTES
from relay.caching.profiles import item as profile_item
from relay.caching.record import Record, digest, event_key, pack, result_key
from relay.caching.shared import Reply, Shared
from relay.caching.shared.line import all_of
from relay.caching.spread import ttl_seconds
from relay.changes.row import Row
from relay.protocol.filters import Filter
from relay.protocol.limits import Limits
from relay.storage.activity import activity
from relay.storage.profiles import newest_profiles
from relay.storage.reads import Part, Reads

T = TypeVar("T")

RECENT = 10_000
"""Among so many of the newest events it is looked what is common, active and popular."""

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
"""Called before each step with its number from 0, how many there are, and what it is about."""


class Warming:
    """One filling of the shared cache, in a loop of its own."""

    def __init__(self, shared: Shared, reads: Reads, epoch: int, limits: Limits, done: Warmed) -> None:
        """`done` counts what is written, while it is."""
        self.done = done
        self._shared = shared
        self._reads = reads
        self._epoch = epoch
        self._limits = limits

    async def run(self, tell: Tell) -> None:
        """All of it. Raises Failed for the database, Away or ReplyError for the shared cache."""
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
        """The events that others refer to, and what a client is answered that asks for what refers to them."""
        asked = [self._filter(tags=(("e", frozenset([f"e{event_id}"])),)) for event_id in ids]
        roots = self._filter(ids=frozenset(ids))
        position, (events, *answers) = await self._reads.parts([roots, *asked])
        await self._results(position, zip(asked, answers, strict=True))
        await self._events(position, [*events.texts, *(text for part in answers for text in part.texts)])

    async def _profiles(self, pubkeys: Sequence[str]) -> None:
        position, rows = await newest_profiles(self._reads, pubkeys)
        await self._write(profile_item(self._epoch, pubkey, position, rows.get(pubkey)) for pubkey in pubkeys)
        self.done.profiles += len(pubkeys)

    async def _results(self, position: int, answers: Iterable[tuple[Filter, Part]]) -> None:
        for flt, part in answers:
            if sum(map(len, part.texts)) > MAX_PAGE_BYTES:
                continue
            owner = digest(flt)
            value = pack(owner, Record(position, part.complete, list(part.texts)))
            await self._write([(result_key(self._epoch, owner), value, _life(part.texts))])
            self.done.results += 1

    async def _events(self, position: int, texts: Sequence[bytes]) -> None:
        for group in chunks(texts, KIND_EVENTS // 2):
            rows = [Row.of(text) for text in group]
            await self._write(
                (
                    event_key(self._epoch, row.id),
                    pack(bytes.fromhex(row.id)[:16], Record(position, True, [row.json])),
                    ttl_seconds(row.expires_at),
                )
                for row in rows
            )
            self.done.events += len(rows)

    async def _write(self, items: Iterable[tuple[bytes, bytes, float]]) -> None:
        """Write values and wait for it, so that no more is under way than the server takes."""
        under_way: list[asyncio.Future[Reply]] = []
        size = 0
        for key, value, seconds in items:
            under_way.append(self._shared.call(key, b"SET", key, value, b"PX", max(1, int(seconds * 1000))))
            size += len(value)
            if size > UNDER_WAY_BYTES:
                await all_of(under_way)
                under_way, size = [], 0
        await all_of(under_way)

    def _filter(
        self,
        *,
        ids: frozenset[str] | None = None,
        kinds: frozenset[int] | None = None,
        tags: tuple[tuple[str, frozenset[str]], ...] = (),
        limit: int | None = None,
    ) -> Filter:
        """As a client's filter without a limit is understood; `limit`: of our own."""
        own = min(self._limits.default_limit, self._limits.max_limit) if limit is None else limit
        return Filter(ids, None, kinds, None, None, own, limit is None, tags)


def chunks(values: Sequence[T], size: int) -> list[Sequence[T]]:
    """The values in their order, `size` at a time."""
    return [values[start : start + size] for start in range(0, len(values), size)]


def _life(texts: Sequence[bytes]) -> float:
    expiring = [Row.of(text).expires_at for text in texts if b'"expiration"' in text]
    return ttl_seconds(min((at for at in expiring if at is not None), default=None))

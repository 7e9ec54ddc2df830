"""Profiles by author, from this process's copies, the shared cache or PostgreSQL.

Rule: one answer is the state at one position, at or after everything acknowledged before the call.
"""

from collections.abc import Callable, Sequence
from time import time
from typing import Any

import msgspec
import orjson

from relay.caching.answers import Answers
from relay.caching.page import Page
from relay.caching.page_cache import profile_filter
from relay.caching.single_flight import SingleFlight
from relay.changes.ring import Ring
from relay.changes.row import Row
from relay.storage.fair_queue import INTERNAL
from relay.storage.profiles import newest_profiles
from relay.storage.reads import Reads

TEXTS = ("name", "display_name", "about", "picture", "banner", "website", "nip05", "lud06", "lud16")
"""The fields of a profile (NIP-01, NIP-24): each a text, or null if it is none."""

Found = dict[str, Row]


class ProfileReader:
    """Reads profiles in one process. Without `answers` PostgreSQL is queried each time."""

    def __init__(self, reads: Reads, answers: Answers | None, ring: Callable[[], Ring]) -> None:
        self._reads = reads
        self._answers = answers
        self._ring = ring
        self.flights: SingleFlight[frozenset[str], None] = SingleFlight()

    async def newest(self, pubkeys: Sequence[str], owner: str = INTERNAL) -> Found:
        """The newest kind 0 of each of `pubkeys` (64 hex digits) that has one. `owner` is who asks (`Reads.query`).

        Raises RelayError, TimeoutError, or TooLarge (`relay.storage.profiles`).
        """
        answers = self._answers
        found: Found | None = None
        if answers is not None and await answers.caught_up():
            found = await self._from_copies(answers, pubkeys, owner)
        if found is None:
            _, texts = await newest_profiles(self._reads, pubkeys, owner)
            found = {pubkey: Row.of(text) for pubkey, text in texts.items()}
        return found

    async def _from_copies(self, answers: Answers, pubkeys: Sequence[str], owner: str) -> Found | None:
        """As of the ring's position; None if the copies could not be completed."""
        cache = answers.copies.profiles
        found, unknown = self._look(answers, pubkeys)
        cache.count(len(pubkeys) - len(unknown), len(pubkeys))
        if unknown:
            await cache.load([profile_filter(pubkey) for pubkey in unknown])
            found, unknown = self._look(answers, pubkeys)
        if unknown:
            await self.flights.join(frozenset(unknown), lambda: self._fetch(answers, unknown, owner))
            found, unknown = self._look(answers, pubkeys)
        return None if unknown else found

    @staticmethod
    def _look(answers: Answers, pubkeys: Sequence[str]) -> tuple[Found, list[str]]:
        now, find = int(time()), answers.copies.profiles.find
        pages = {pubkey: find(profile_filter(pubkey), now) for pubkey in pubkeys}
        found = {pubkey: Row.of(page.texts[0]) for pubkey, page in pages.items() if page is not None and page.texts}
        return found, [pubkey for pubkey, page in pages.items() if page is None]

    async def _fetch(self, answers: Answers, pubkeys: Sequence[str], owner: str = INTERNAL) -> None:
        """Put PostgreSQL's answer into the copies, once this process has applied its position."""
        ring = self._ring()
        position, texts = await newest_profiles(self._reads, pubkeys, owner)
        # A ring that was replaced since counts another epoch: L2 would get the position under the wrong store.
        if await answers.arrivals.reached(position) and ring is self._ring():
            pages = [
                Page(profile_filter(pubkey), position, [texts[pubkey]] if pubkey in texts else [], True)
                for pubkey in pubkeys
            ]
            for page in pages:
                answers.copies.profiles.keep(page, ring)
            answers.copies.profiles.share(pages)


def described(pubkey: str, row: Row | None) -> dict[str, Any]:
    """A profile as JSON values: `pubkey`, the event's `id`, `created_at`, `profile` (TEXTS) and the `event` itself.

    Without an event all but `pubkey` are null. Content that is no JSON object gives a profile of nulls.
    """
    if row is None:
        return {"pubkey": pubkey, "id": None, "created_at": None, "profile": None, "event": None}
    fields = _content(orjson.loads(row.json)["content"])
    profile = {name: value if isinstance(value := fields.get(name), str) else None for name in TEXTS}
    event = msgspec.Raw(row.json)
    return {"pubkey": pubkey, "id": row.id, "created_at": row.created_at, "profile": profile, "event": event}


def _content(content: str) -> dict[str, Any]:
    try:
        fields = orjson.loads(content)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}

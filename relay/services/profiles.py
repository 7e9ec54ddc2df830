"""Profiles for whoever asks: found in the copies of this process, in the shared cache, or in PostgreSQL.

Rule: all that is answered together is the state at one position, at or after everything acknowledged before the call.
"""

from collections.abc import Callable, Sequence
from time import time
from typing import Any

import msgspec
import orjson

from relay.caching.answers import Answers
from relay.caching.flight import Flights
from relay.changes.ring import Ring
from relay.changes.row import Row
from relay.storage.profiles import newest_profiles
from relay.storage.reads import Reads

TEXTS = ("name", "display_name", "about", "picture", "banner", "website", "nip05", "lud06", "lud16")
"""What a profile says of itself (NIP-01, NIP-24): each a text, or null when it is none."""

Found = dict[str, Row]


class ProfileReader:
    """Reads profiles in one process. Without `answers` PostgreSQL is asked each time."""

    def __init__(self, reads: Reads, answers: Answers | None, ring: Callable[[], Ring]) -> None:
        self._reads = reads
        self._answers = answers
        self._ring = ring
        self.flights: Flights[frozenset[str], None] = Flights()

    async def newest(self, pubkeys: Sequence[str]) -> Found:
        """The newest kind 0 of each of `pubkeys` (64 hex digits) that has one. Raises Failed, or TimeoutError."""
        answers = self._answers
        found = await self._from_copies(answers, pubkeys) if answers is not None and await answers.caught_up() else None
        if found is None:
            _, found = await newest_profiles(self._reads, pubkeys)
        now = int(time())
        return {pubkey: row for pubkey, row in found.items() if row.expires_at is None or row.expires_at > now}

    async def _from_copies(self, answers: Answers, pubkeys: Sequence[str]) -> Found | None:
        """As of the ring's position; None when the copies could not be completed."""
        found, unknown = self._look(answers, pubkeys)
        answers.copies.profiles.l1.hits += len(pubkeys) - len(unknown)
        answers.copies.profiles.l1.misses += len(unknown)
        if unknown:
            await answers.copies.profiles.load(unknown, self._ring)
            found, unknown = self._look(answers, pubkeys)
        if unknown:
            await self.flights.join(frozenset(unknown), lambda: self._fetch(answers, unknown))
            found, unknown = self._look(answers, pubkeys)
        return None if unknown else found

    def _look(self, answers: Answers, pubkeys: Sequence[str]) -> tuple[Found, list[str]]:
        ring, find = self._ring(), answers.copies.profiles.find
        copies = [(pubkey, find(pubkey, ring)) for pubkey in pubkeys]
        found = {pubkey: copy.row for pubkey, copy in copies if copy is not None and copy.row is not None}
        return found, [pubkey for pubkey, copy in copies if copy is None]

    async def _fetch(self, answers: Answers, pubkeys: Sequence[str]) -> None:
        """Have the copies hold what PostgreSQL says, once this process has come that far."""
        ring = self._ring()
        position, rows = await newest_profiles(self._reads, pubkeys)
        if await answers.has_come(position) and self._ring() is ring:
            answers.copies.profiles.keep(pubkeys, position, rows, ring)


def described(pubkey: str, row: Row | None) -> dict[str, Any]:
    """A profile as JSON values: `pubkey`, the event's `id`, `created_at`, `profile` (TEXTS) and the `event` itself.

    Without an event all but `pubkey` are null. Content that is no JSON object has a profile of nulls.
    """
    if row is None:
        return {"pubkey": pubkey, "id": None, "created_at": None, "profile": None, "event": None}
    said = _said(orjson.loads(row.json)["content"])
    profile = {name: value if isinstance(value := said.get(name), str) else None for name in TEXTS}
    event = msgspec.Raw(row.json)
    return {"pubkey": pubkey, "id": row.id, "created_at": row.created_at, "profile": profile, "event": event}


def _said(content: str) -> dict[str, Any]:
    try:
        said = orjson.loads(content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}

"""Profiles: the newest kind 0 of each author that was asked for, or that there is none, in L1 and L2.

An author has at most one kind 0 that is served, and whatever is added later is newer (01-K02). Rule: a copy says what
held at a position, and is used only if the changes since then tell what became of it. In L1 a new kind 0 takes the
place of an older one when it is applied; a copy from elsewhere is brought forward when it comes in.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeGuard

from relay.caching.memory import Memory
from relay.caching.record import Record, pack, profile_key, unpack
from relay.caching.registry import CacheCounters, Layer, registry
from relay.caching.shared import Shared
from relay.caching.spread import ttl_seconds
from relay.changes.change import Added, Batch, Change
from relay.changes.ring import Ring
from relay.changes.row import Row, pubkey_of
from relay.protocol.event import StoredEvent

PROFILE_KIND = 0
MAX_CHANGES = 2_000
"""Of these and fewer a copy is brought forward (about half a millisecond); PostgreSQL is asked instead of more."""

ABSENT_SECONDS = 300.0
"""How long L2 says that an author has no profile: anybody can ask for authors that never were."""

_ABSENT_BYTES = 200
_ENTRY_BYTES = 500


class Profile:
    """An author's newest kind 0 as of `position`, or that there is none (`row` None)."""

    __slots__ = ("position", "row")

    def __init__(self, position: int, row: Row | None) -> None:
        self.position = position
        self.row = row


class Profiles:
    """The profiles of one process and of the shared cache. Authors are 64 hex digits."""

    def __init__(self, shared: Shared | None, epoch: Callable[[], int]) -> None:
        self.l1 = registry.register(CacheCounters("profiles", Layer.L1))
        self.l2 = registry.register(CacheCounters("profiles", Layer.L2))
        self._shared = shared
        self._epoch = epoch
        self._memory: Memory[str, Profile] = Memory(self.l1)

    def find(self, pubkey: str, ring: Ring) -> Profile | None:
        """What holds at the ring's position, None if that is not known here. Not counted; it may have expired."""
        copy = self._memory.get(pubkey)
        if copy is None or copy.position > ring.position:  # ahead of what was applied here: of use in a moment
            return None
        if copy.position < ring.floor or (copy.row is not None and ring.removed(copy.row.id, copy.position)):
            self._memory.drop(pubkey)
            return None
        copy.position = ring.position
        return copy

    def keep(self, pubkeys: Iterable[str], position: int, rows: dict[str, Row], ring: Ring) -> None:
        """Keep the profiles of authors as they were at `position`, in L1 and L2; who is not in `rows` has none."""
        found = {pubkey: Profile(position, rows.get(pubkey)) for pubkey in pubkeys}
        self._share(found)
        self._take(found, ring)

    def apply(self, change: Added) -> None:
        """A kind 0 was applied: from here on it is its author's profile."""
        event = change.event
        copy = self._memory.get(event.pubkey)
        if copy is not None and copy.position < change.seq:
            self._put(event.pubkey, Profile(change.seq, _row(event)))

    def published(self, batch: Batch) -> None:
        """Have L2 hold what this process has just committed."""
        added = [change for change in batch.changes if _is_profile(change)]
        self._share({change.event.pubkey: Profile(change.seq, _row(change.event)) for change in added})

    async def load(self, pubkeys: Sequence[str], ring: Callable[[], Ring]) -> None:
        """Bring from L2 into L1 what it has of `pubkeys`."""
        if self._shared is None or not self._shared.up or not pubkeys:
            return
        epoch, before = self._epoch(), ring()
        values = await self._shared.get_many([profile_key(epoch, pubkey) for pubkey in pubkeys])
        if ring() is not before:  # another beginning: its numbers may mean something else
            return
        found = {}
        for pubkey, value in zip(pubkeys, values, strict=True):
            copy = None if value is None else self._read(pubkey, value)
            if copy is not None and copy.position >= before.floor:
                found[pubkey] = copy
        self.l2.hits += len(found)
        self.l2.misses += len(pubkeys) - len(found)
        self._take(found, before)

    def _read(self, pubkey: str, value: bytes) -> Profile | None:
        try:
            record = unpack(_owner(pubkey), value)
            if not record.texts:
                return Profile(record.position, None)
            (text,) = record.texts
            row = Row.of(text)
            if row.kind == PROFILE_KIND and pubkey_of(text) == pubkey:
                return Profile(record.position, row)
        except ValueError:
            pass
        self.l2.errors += 1
        return None

    def _take(self, found: dict[str, Profile], ring: Ring) -> None:
        """Keep copies in L1, each brought to where the ring is, if the ring can do that cheaply."""
        behind = {pubkey: copy for pubkey, copy in found.items() if copy.position < ring.position}
        touched = {pubkey for pubkey, copy in behind.items() if self._may_have_changed(pubkey, copy, ring)}
        lost = {p for p in touched if found[p].position < max(ring.floor, ring.position - MAX_CHANGES)}
        if touched := touched - lost:
            for change in ring.since(min(found[pubkey].position for pubkey in touched)):
                if _is_profile(change) and change.event.pubkey in touched:
                    copy = found[change.event.pubkey]
                    if change.seq > copy.position:
                        copy.position, copy.row = change.seq, _row(change.event)
        for pubkey, copy in found.items():
            if pubkey not in lost:
                self._put(pubkey, copy)

    @staticmethod
    def _may_have_changed(pubkey: str, copy: Profile, ring: Ring) -> bool:
        return copy.position < ring.floor or ring.touched((pubkey,), copy.position)

    def _put(self, pubkey: str, copy: Profile) -> None:
        self._memory.put(pubkey, copy, _ABSENT_BYTES if copy.row is None else _ENTRY_BYTES + len(copy.row.json))

    def _share(self, found: dict[str, Profile]) -> None:
        if self._shared is None or not self._shared.up or not found:
            return
        epoch = self._epoch()
        self._shared.set_many([item(epoch, pubkey, copy.position, copy.row) for pubkey, copy in found.items()])

    def sweep(self, now: float) -> None:
        """Let go what nobody has asked for lately; `now` in seconds of the monotonic clock."""
        self._memory.sweep(now)

    def clear(self) -> None:
        """Drop the copies of this process."""
        self._memory.clear()


def item(epoch: int, pubkey: str, position: int, row: Row | None) -> tuple[bytes, bytes, float]:
    """Key, value and seconds to live, as a profile stands in L2."""
    value = pack(_owner(pubkey), Record(position, True, [] if row is None else [row.json]))
    return profile_key(epoch, pubkey), value, ABSENT_SECONDS if row is None else ttl_seconds(row.expires_at)


def _owner(pubkey: str) -> bytes:
    return bytes.fromhex(pubkey)[:16]


def _is_profile(change: Change) -> TypeGuard[Added]:
    return type(change) is Added and change.event.kind == PROFILE_KIND


def _row(event: StoredEvent) -> Row:
    return Row(event.id, event.created_at, event.kind, event.expires_at, event.json)

"""A copy of an answer: what one filter was answered with at a position, and how it is brought to a later one.

Rule: `bring` either makes it what PostgreSQL would answer at the ring's position, or says that it cannot.
"""

from collections.abc import Sequence

from relay.changes.overlay import Found, overlay
from relay.changes.overlay import Page as Rows
from relay.changes.ring import Ring
from relay.changes.row import Row, id_of
from relay.protocol.filters import Filter

MAX_CHANGES = 2_000
"""Of these and fewer a copy is brought forward (about half a millisecond); PostgreSQL is asked instead of more."""

ENTRY_BYTES = 120
"""What a row costs beside its text."""

PAGE_BYTES = 800
"""What a page costs beside its rows: the object, the filter, the keys (measured, CPython 3.11)."""


def touching(flt: Filter) -> Sequence[str | int] | None:
    """The keys of the ring of which an event that matches has at least one; None when any event might match."""
    if flt.ids is not None:
        return list(flt.ids)
    if flt.tags:
        fewest: frozenset[str] = min((keys for _, keys in flt.tags), key=len)
        return list(fewest)
    if flt.authors is not None:
        return list(flt.authors)
    return list(flt.kinds) if flt.kinds is not None else None


class Page:
    """The answer of `flt` at `position`, newest first. `shared_at`: the position of the copy in L2, -1 without one."""

    __slots__ = ("_expires", "_keys", "_rows", "complete", "flt", "position", "shared_at", "texts")

    def __init__(self, flt: Filter, position: int, texts: Sequence[bytes], complete: bool) -> None:
        self.flt = flt
        self.position = position
        self.texts = texts
        self.complete = complete
        self.shared_at = -1
        self._keys = touching(flt)
        self._rows: Sequence[Found] | None = None
        self._expires = self._first_expiry() if any(b'"expiration"' in text for text in texts) else None

    @property
    def size_bytes(self) -> int:
        """What it counts for in a cache's bound."""
        return PAGE_BYTES + sum(map(len, self.texts)) + ENTRY_BYTES * len(self.texts)

    @property
    def expires_at(self) -> int | None:
        """When the first of its events expires, None when none does."""
        return self._expires

    @property
    def rows(self) -> Sequence[Found]:
        """The rows of the answer, taken apart on first use."""
        if self._rows is None:
            self._rows = [Row.of(text) for text in self.texts]
        return self._rows

    def _first_expiry(self) -> int | None:
        return min((row.expires_at for row in self.rows if row.expires_at is not None), default=None)

    def bring(self, ring: Ring, now: int) -> bool:
        """Make it the answer at the ring's position, at `now` (Unix seconds); False when that is not possible."""
        expired = self._expires is not None and self._expires <= now
        if self.position == ring.position and not expired:
            return True
        if self.position < ring.floor or self.position > ring.position:
            return False
        if not expired and not self._changed(ring):
            self.position = ring.position
            return True
        if ring.position - self.position > MAX_CHANGES:
            return False
        return self._overlay(ring, now)

    def _changed(self, ring: Ring) -> bool:
        position = self.position
        if self._keys is None or ring.touched(self._keys, position):
            return True
        if ring.newest_removal <= position:
            return False
        return any(ring.removed(id_of(text).decode("ascii"), position) for text in self.texts)

    def _overlay(self, ring: Ring, now: int) -> bool:
        over = overlay(Rows(self.rows, self.complete), self.flt, ring.since(self.position), now)
        if over.short:
            return False
        self._rows = over.rows
        self.texts = [row.json for row in over.rows]
        self.complete = over.complete
        self.position = ring.position
        self._expires = self._first_expiry()
        return True

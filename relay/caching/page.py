"""A page: the answer to one filter at a position.

Rule: `advance` makes it what PostgreSQL would answer at the ring's position, or reports that it cannot.
"""

from collections.abc import Sequence
from sys import getsizeof

from relay.changes.overlay import Found, overlay, takes_long
from relay.changes.overlay import Page as Rows
from relay.changes.ring import Ring, ring_keys
from relay.changes.row import Row, id_of
from relay.protocol.filters import Filter, texts_bytes
from relay.protocol.messages import End

MAX_CHANGES = 2_000
"""The most changes over which a page is advanced (about half a millisecond); beyond, PostgreSQL answers."""

ENTRY_BYTES = 120
"""What a row costs beside its text."""

KIND_BYTES = 30
"""A kind of the filter beside its place in the set: the number, and its part of the key."""

PAGE_BYTES = 800
"""What a page costs beside its rows and the values of its filter (measured, CPython 3.11)."""

HEAD_BYTES = 57
"""A text beside its characters, and its place among the keys of the ring."""

HEX_BYTES = HEAD_BYTES + 64
"""A text of 64 hex digits."""


class Page:
    """The answer to `flt` at `position`, newest first. `shared_at`: the position of the copy in L2, -1 for none.

    `next`: the id of a match below the last row that never expires, None if none is known (67-3).
    """

    __slots__ = (
        "_expires",
        "_filter_bytes",
        "_keys",
        "_rows",
        "_was_searched",
        "complete",
        "flt",
        "next",
        "position",
        "shared_at",
        "texts",
    )

    def __init__(
        self, flt: Filter, position: int, texts: Sequence[bytes], complete: bool, following: str | None = None
    ) -> None:
        self.flt = flt
        self.position = position
        self.texts = texts
        self.complete = complete
        self.next = following
        self.shared_at = -1
        self._filter_bytes = 0  # not known yet
        self._keys: Sequence[str | int] | None = None  # of the ring, looked up on first use: 17 us for 300 authors
        self._rows: Sequence[Row] | None = None
        self._expires: int | None = None
        self._was_searched = (
            False  # for expirations: 0.6 us a text, which a page that is never used again does not cost
        )

    @property
    def size_bytes(self) -> int:
        """Its size now for the bound of a cache, with its filter, which is the key there."""
        if not self._filter_bytes:
            self._filter_bytes = PAGE_BYTES + _values_bytes(self.flt)
        return self._filter_bytes + sum(map(len, self.texts)) + ENTRY_BYTES * len(self.texts)

    @property
    def end(self) -> End:
        """What EOSE may say of the answer."""
        if self.complete:
            return End.FINISH
        return End.UNKNOWN if self.next is None else End.MORE

    @property
    def expires_at(self) -> int | None:
        """The earliest expiration of its events in Unix seconds, None when none expires."""
        if not self._was_searched:
            self._was_searched = True
            if any(b'"expiration"' in text for text in self.texts):
                self._expires = self._first_expiry()
        return self._expires

    @property
    def rows(self) -> Sequence[Row]:
        """The rows of the answer, parsed on first use."""
        if self._rows is None:
            self._rows = [Row.of(text) for text in self.texts]
        return self._rows

    def _first_expiry(self) -> int | None:
        return min((row.expires_at for row in self.rows if row.expires_at is not None), default=None)

    def advance(self, ring: Ring, now: int) -> bool:
        """Make it the answer at the ring's position and at `now` (Unix seconds); False if that is not possible."""
        expires = self._expires if self._was_searched else self.expires_at
        expired = expires is not None and expires <= now
        if self.position == ring.position and not expired:
            return True
        if self.position < ring.floor or self.position > ring.position:
            return False
        if self.next is not None and (
            ring.newest_hiding > self.position
            or (ring.newest_removal > self.position and ring.removed(self.next, self.position))
        ):
            self.next = None
        if not expired and not self._changed(ring):
            self.position = ring.position
            return True
        if ring.position - self.position > MAX_CHANGES:
            return False
        return self._overlay(ring, now)

    def _changed(self, ring: Ring) -> bool:
        position = self.position
        if self._keys is None:
            self._keys = ring_keys(self.flt)
        if self._keys is None or ring.touched(self._keys, position):
            return True
        if ring.newest_hiding > position and any(ring.hides(text, position) for text in self.texts):
            return True
        if ring.newest_removal <= position:
            return False
        return any(ring.removed(id_of(text).decode("ascii"), position) for text in self.texts)

    def _overlay(self, ring: Ring, now: int) -> bool:
        changes = ring.since(self.position)
        if takes_long(self.flt, changes):
            return False
        over = overlay(Rows(self.rows, self.complete), self.flt, changes, now)
        if over.short:
            return False
        # Rows, not the events of the ring: their tags cost ten times their text, and the page would keep them.
        self._rows = [row if type(row) is Row else _row_of(row) for row in over.rows]
        self.texts = [row.json for row in over.rows]
        self.complete = over.complete
        if over.cut is not None:
            self.next = over.cut.id if over.cut.expires_at is None else None
        self.position = ring.position
        self._expires, self._was_searched = self._first_expiry(), True
        return True


def _values_bytes(flt: Filter) -> int:
    """What the values of a filter take: a REQ may name 30,000, and one value of a tag may be as long as a message."""
    size = 0
    for values in (flt.ids, flt.authors):
        if values is not None:
            size += getsizeof(values) + HEX_BYTES * len(values)
    for _, keys in flt.tags:
        size += getsizeof(keys) + HEAD_BYTES * len(keys) + texts_bytes(keys)
    return size if flt.kinds is None else size + getsizeof(flt.kinds) + KIND_BYTES * len(flt.kinds)


def _row_of(event: Found) -> Row:
    return Row(event.id, event.created_at, event.kind, event.expires_at, event.json)

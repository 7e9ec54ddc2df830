"""A change is one entry of the log, the total order that every copy follows (ARCHITECTURE.md, "One total order")."""

from collections.abc import Sequence

from msgspec import Struct

from relay.protocol.event import StoredEvent
from relay.protocol.visibility import owners


class Added(Struct, frozen=True, gc=False):
    """`event` is served from position `seq` on."""

    seq: int
    event: StoredEvent


class Removed(Struct, frozen=True, gc=False):
    """The event with this id (64 hex digits) is no longer served from position `seq` on."""

    seq: int
    event_id: str


class Vanished(Struct, frozen=True, gc=False):
    """From position `seq` on nothing is served that the author `pubkey` (64 hex digits) made up to `until` (Unix
    seconds), nor gift wraps of that time for it (NIP-62). One entry of the log, however many events it hides.
    """

    seq: int
    pubkey: str
    until: int

    def hides(self, event: StoredEvent) -> bool:
        """True if the event is gone, provided that it was added before."""
        return event.created_at <= self.until and self.pubkey in owners(event)


class Purged(Struct, frozen=True, gc=False):
    """From position `seq` on no event of these kinds is served that was created before `before` (Unix seconds) and
    added before this change: retention removes them. `kinds`: spans, both ends included. One entry of the log, however
    many events it hides.
    """

    seq: int
    kinds: tuple[tuple[int, int], ...]
    before: int

    def hides(self, kind: int, created_at: int) -> bool:
        """True for an event that is gone, provided that it was added before."""
        return created_at < self.before and any(low <= kind <= high for low, high in self.kinds)

    def packed(self) -> bytes:
        """The kinds as the log has them: two bytes for the first and the last of each span."""
        return b"".join([low.to_bytes(2) + high.to_bytes(2) for low, high in self.kinds])

    @classmethod
    def of(cls, seq: int, packed: bytes, before: int) -> "Purged":
        """The change of an entry of the log."""
        numbers = [int.from_bytes(packed[at : at + 2]) for at in range(0, len(packed), 2)]
        return cls(seq, tuple(zip(numbers[::2], numbers[1::2], strict=True)), before)


Change = Added | Removed | Vanished | Purged


class Batch(Struct, frozen=True, gc=False):
    """The changes `first` to `last` without a gap: one committed transaction, or one page of the log."""

    first: int
    last: int
    changes: Sequence[Change]

    @classmethod
    def of(cls, changes: Sequence[Change]) -> "Batch":
        """A batch of one or more changes numbered without a gap."""
        return cls(changes[0].seq, changes[-1].seq, changes)

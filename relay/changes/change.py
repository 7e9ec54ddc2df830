"""A change is one entry of the log, the total order that every copy follows (ARCHITECTURE.md, "One total order")."""

from collections.abc import Sequence

from msgspec import Struct

from relay.protocol.event import StoredEvent


class Added(Struct, frozen=True, gc=False):
    """`event` is served from position `seq` on."""

    seq: int
    event: StoredEvent


class Removed(Struct, frozen=True, gc=False):
    """The event with this id (64 hex digits) is no longer served from position `seq` on."""

    seq: int
    event_id: str


Change = Added | Removed


class Batch(Struct, frozen=True, gc=False):
    """The changes `first` to `last` without a gap: one committed transaction, or one page of the log."""

    first: int
    last: int
    changes: Sequence[Change]

    @classmethod
    def of(cls, changes: Sequence[Change]) -> "Batch":
        """A batch of one or more changes numbered without a gap."""
        return cls(changes[0].seq, changes[-1].seq, changes)

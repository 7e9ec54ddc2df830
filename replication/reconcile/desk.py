"""What one of the parallel comparisons of a run works with: connections of its own to the store and to the peer."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from replication.reconcile.asking import Peer
from replication.reconcile.local_set import LocalSet


class Given(Struct, frozen=True):
    """What the peer did with an event: its outcome's status and text."""

    status: str
    text: str = ""


Push = Callable[[Sequence[bytes]], Sequence[Given]]
"""Sends events, as JSON texts, to the peer; what became of each, in order. Raises PeerError."""


class Desk(Struct, frozen=True):
    """Used by one thread at a time."""

    local: LocalSet
    peer: Peer
    push: Push

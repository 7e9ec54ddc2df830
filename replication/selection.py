"""What is sent to a peer: the rule, as a predicate and as the parameters of $SELECTED, which a test compares.

Events that came from the peer are never sent back to it. Deletions and requests to vanish are sent whatever kinds are
chosen, so that the peer also removes what it was sent.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from relay.protocol import kinds, visibility
from relay.storage.visibility_sql import numbers
from replication.models import Region, Selection


class Selected(Struct, frozen=True):
    """Of one peer; `kinds` and `authors` None for all."""

    origin: int
    own_only: bool
    private: bool
    kinds: frozenset[int] | None
    authors: frozenset[str] | None

    @classmethod
    def of(cls, peer: Region) -> "Selected":
        """As the peer's row says."""
        return cls(
            peer.origin,
            peer.own_only,
            peer.may_read_private,
            frozenset(peer.send_kinds) if peer.send == Selection.KINDS else None,
            frozenset(peer.send_authors) if peer.send == Selection.AUTHORS else None,
        )

    def sends(self, kind: int, pubkey: str, origin: int) -> bool:
        """True if an event goes to the peer; `origin` is its region in the log, 0 for this one."""
        if origin != 0 and (self.own_only or origin == self.origin):
            return False
        if not self.private and kind in visibility.NEVER_COPIED_KINDS:
            return False
        if self.kinds is not None and kind not in self.kinds and kind not in kinds.INDELIBLE_KINDS:
            return False
        return self.authors is None or pubkey in self.authors

    def parameters(self) -> Mapping[str, Any]:
        """Those of $SELECTED."""
        return {
            "own_only": self.own_only,
            "origin": self.origin,
            "private": self.private,
            "kinds": None if self.kinds is None else sorted(self.kinds),
            "authors": None if self.authors is None else [bytes.fromhex(key) for key in sorted(self.authors)],
        }


def selected_sql() -> str:
    """True for rows `e` (kind, pubkey, origin) that go to a peer."""
    return (
        "((e.origin = 0 OR (NOT %(own_only)s::boolean AND e.origin <> %(origin)s::integer)) "
        f"AND (%(private)s::boolean OR e.kind NOT IN ({numbers(visibility.NEVER_COPIED_KINDS)})) "
        "AND (%(kinds)s::integer[] IS NULL OR e.kind = ANY (%(kinds)s::integer[]) "
        f"OR e.kind IN ({numbers(kinds.INDELIBLE_KINDS)})) "
        "AND (%(authors)s::bytea[] IS NULL OR e.pubkey = ANY (%(authors)s::bytea[])))"
    )

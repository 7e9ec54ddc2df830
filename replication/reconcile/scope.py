"""Which events two regions compare: a rule that both apply to their own store, so that equal stores are equal sets."""

from itertools import chain

from msgspec import Struct, structs

from relay.protocol.keys import is_hex_32

MAX_KIND = 65_535
MAX_FLOORS = 1_000
MAX_AUTHORS = 100_000
MAX_SPANS = 10_000
"""Of all floors. A scope is written into a statement: four million kinds in one kept a worker busy for nine seconds."""


class Floor(Struct, frozen=True, order=True):
    """Retention of one side: it keeps no event of these kinds that was created before `before` (Unix seconds)."""

    kinds: tuple[tuple[int, int], ...]
    """Spans, both ends included."""
    before: int

    def multirange(self) -> str:
        """The kinds as PostgreSQL's int4multirange."""
        return "{" + ",".join(f"[{first},{last}]" for first, last in self.kinds) + "}"

    @property
    def is_valid(self) -> bool:
        """Whether a peer may have meant it: it becomes a parameter of a statement."""
        spans_are = all(0 <= first <= last <= MAX_KIND for first, last in self.kinds)
        return spans_are and -(2**63) <= self.before < 2**63


class Scope(Struct, frozen=True):
    """`kinds` and `authors` (hex): these alone, None for all. `private`: also kinds that not every client may read.

    `floors`: what either side does not keep; it would be fetched and refused at each run.
    """

    kinds: tuple[int, ...] | None = None
    authors: tuple[str, ...] | None = None
    private: bool = False
    floors: tuple[Floor, ...] = ()

    @property
    def is_valid(self) -> bool:
        """Whether it can be asked of the store."""
        if (
            len(self.kinds or ()) > MAX_KIND + 1
            or len(self.authors or ()) > MAX_AUTHORS
            or len(self.floors) > MAX_FLOORS
        ):
            return False
        if sum(len(floor.kinds) for floor in self.floors) > MAX_SPANS:
            return False
        kinds_are = all(0 <= kind <= MAX_KIND for kind in self.kinds or ())
        keys_are = all(is_hex_32(key) for key in self.authors or ())
        return kinds_are and keys_are and all(floor.is_valid for floor in self.floors)


class Session(Struct, frozen=True):
    """One comparison of a run. `takes`: what only the peer has is fetched; `gives`: what it lacks is sent."""

    scope: Scope
    takes: bool
    gives: bool


def sessions(ours: Scope, theirs: Scope) -> list[Session]:
    """The comparisons of two regions, of which `ours` is sent to the peer and `theirs` to us.

    Different rules take a comparison for each direction: what one side may not send must not be missed on the other at
    each run. Private kinds are compared only if both may read those of the other.
    """
    private = ours.private and theirs.private
    floors = tuple(sorted({*chain(ours.floors, theirs.floors)}))
    given = structs.replace(ours, private=private, floors=floors)
    taken = structs.replace(theirs, private=private, floors=floors)
    if given == taken:
        return [Session(given, takes=True, gives=True)]
    return [Session(taken, takes=True, gives=False), Session(given, takes=False, gives=True)]

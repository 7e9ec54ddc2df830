"""Where an event comes from, as policies and the log see it."""

from enum import Enum

from msgspec import Struct


class SourceKind(Enum):
    """The ways in."""

    CLIENT = "client"
    IMPORT = "import"
    PEER = "peer"
    ADMIN = "admin"


class Source(Struct, frozen=True, gc=False):
    """Who hands in an event.

    `address`: of the client, "" where there is none. `origin`: the number of the peer region that the event was first
    stored in, 0 for this one. `proved`: the keys that the client has logged in with, in hex. `trusted`: signatures are
    taken on trust; ids never are.
    """

    kind: SourceKind
    address: str = ""
    origin: int = 0
    proved: frozenset[str] = frozenset()
    trusted: bool = False

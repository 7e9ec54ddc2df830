"""Where an event comes from, for policies and the log."""

from enum import Enum

from msgspec import Struct


class SourceKind(Enum):
    """The ways in."""

    CLIENT = "client"
    IMPORT = "import"
    PEER = "peer"
    ADMIN = "admin"


class Source(Struct, frozen=True, gc=False):
    """The submitter of an event.

    `address`: of the client, "" if there is none. `origin`: the number of the peer region that first stored the event,
    0 for this one. `proved`: keys that the client has logged in with, in hex. `trusted`: signatures are not verified;
    ids always are. `owner`: in whose turn its events are written. `limited`: rate limits apply to it; `owner` is its
    network then. `verified`: the submitter has verified the ids, and the signatures unless `trusted`, before.
    """

    kind: SourceKind
    address: str = ""
    origin: int = 0
    proved: frozenset[str] = frozenset()
    trusted: bool = False
    owner: str = ""
    limited: bool = False
    verified: bool = False

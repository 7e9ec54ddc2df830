"""The bodies of requests and answers, in JSON."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

MAX_EVENTS = 500
"""Of one request."""
MAX_EVENTS_BYTES = 4_194_304
"""Of their texts; one event may reach beyond it."""
MAX_REASON: Final = 300
"""Characters of the reason of an outcome: the answer to MAX_EVENTS events has a bound in bytes."""

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Position = Annotated[int, Meta(ge=0, le=2**63 - 1)]
WaitMs = Annotated[int, Meta(ge=0, le=60_000)]


class Fate(StrEnum):
    """What became of an event at the receiver. After FAILED alone another try is worthwhile."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    OUTDATED = "outdated"
    GONE = "gone"
    DELIVERED = "delivered"
    REFUSED = "refused"
    FAILED = "failed"


SETTLED_WELL = frozenset({Fate.STORED, Fate.DUPLICATE, Fate.OUTDATED, Fate.GONE, Fate.DELIVERED})
"""Both regions serve the same: what was deleted, replaced or has expired is not missing."""


class Outcome(Struct, frozen=True, array_like=True, gc=False):
    """The fate of one event, and the reason in the protocol's form, `<prefix>: <message>`, if it was not stored."""

    fate: Fate
    text: str = ""


class Accepts(Struct, frozen=True):
    """Back-pressure: how much the receiver takes in the next request. With 0 events, after `wait_ms`."""

    events: Count = MAX_EVENTS
    bytes: Count = MAX_EVENTS_BYTES
    wait_ms: WaitMs = 0


class Taken(Struct, frozen=True):
    """The answer to events: an outcome for each, in their order. `storing`: the receiver's database and policy answer
    and its queue has room, so that an event that failed did so by itself.
    """

    outcomes: list[Outcome]
    accepts: Accepts
    storing: bool = True


class Status(Struct, frozen=True):
    """The answer to a question for the state of a region. `time` in Unix seconds; `connections` of `capacity`."""

    region: str
    ready: bool
    time: float
    identity: str
    epoch: Position
    position: Position
    connections: Count
    capacity: Count
    accepts: Accepts


class Unreadable(ValueError):
    """the body is not what this address takes"""


# A bound on a list is checked after the whole of it was read: 32 MiB of `0,` would take 1.4 GB and 3 s, and are sent in
# 2 KB of zstd. An array of named elements ends with the first that has no name.
_Events = msgspec.defstruct(
    "_Events",
    [(f"event{number}", Raw | UnsetType, UNSET) for number in range(MAX_EVENTS)],
    array_like=True,
    forbid_unknown_fields=True,
)
_events = msgspec.json.Decoder(_Events).decode
_taken = msgspec.json.Decoder(Taken).decode
_status = msgspec.json.Decoder(Status).decode
encode = msgspec.json.Encoder().encode


def decode_taken(content: bytes) -> Taken:
    """The answer to events. Raises ValueError."""
    try:
        return _taken(content)
    except RecursionError as error:
        raise Unreadable(str(error)) from None


def decode_status(content: bytes) -> Status:
    """The answer to a question for the state. Raises ValueError."""
    try:
        return _status(content)
    except RecursionError as error:
        raise Unreadable(str(error)) from None


def encode_events(texts: Sequence[bytes]) -> bytes:
    """Events as a request has them, from their JSON texts."""
    return b"[" + b",".join(texts) + b"]"


def decode_events(content: bytes | Raw) -> list[bytes]:
    """The texts of at most MAX_EVENTS events, each whatever JSON value it is. Raises Unreadable."""
    try:
        found = msgspec.structs.astuple(_events(content))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from None
    return [bytes(text) for text in found if text is not UNSET]

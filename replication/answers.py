"""The bodies of requests and answers, in JSON."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct

MAX_EVENTS = 500
"""Of one request."""
MAX_EVENTS_BYTES = 4_194_304
"""Of their texts; one event may reach beyond it."""


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

    events: int = MAX_EVENTS
    bytes: int = MAX_EVENTS_BYTES
    wait_ms: int = 0


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
    epoch: int
    position: int
    connections: int
    capacity: int
    accepts: Accepts


class Unreadable(ValueError):
    """the body is not what this address takes"""


_events = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_taken = msgspec.json.Decoder(Taken).decode
decode_status = msgspec.json.Decoder(Status).decode
encode = msgspec.json.Encoder().encode


def encode_events(texts: Sequence[bytes]) -> bytes:
    """Events as a request has them, from their JSON texts."""
    return b"[" + b",".join(texts) + b"]"


def decode_events(content: bytes) -> list[bytes]:
    """The texts of the events of a request, each whatever JSON value it is. Raises Unreadable."""
    try:
        texts = [bytes(text) for text in _events(content)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from None
    if len(texts) > MAX_EVENTS:
        raise Unreadable(f"more than {MAX_EVENTS} events")
    return texts

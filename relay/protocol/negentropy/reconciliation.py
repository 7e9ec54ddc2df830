"""The two sides of a reconciliation: messages in, messages out.

The initiator learns what each side lacks; the responder keeps nothing between messages, so that its items may be read
anew for each. Splits are those of the reference: 16 ranges, ids for fewer than 32 items.
"""

from enum import IntEnum
from typing import Final

from msgspec import Struct

from relay.protocol.errors import Invalid
from relay.protocol.negentropy.encoding import FINGERPRINT_BYTES, ID_BYTES, INFINITY, BoundWriter, Reader, varint
from relay.protocol.negentropy.items import Items

VERSION: Final = 0x61
_VERSIONS: Final = range(0x60, 0x70)
"""First bytes of this and other versions of the protocol (77-3)."""

FRAME_BYTES: Final = 60_000
"""Default limit of a message: 120,000 digits of hex."""

MIN_FRAME_BYTES: Final = 4_096
"""Below it a message could not hold one split range, and a reconciliation would not end."""

_RESERVE_BYTES: Final = 200
"""Of a message, for the fingerprint of what did not find room in it."""

_BUCKETS: Final = 16


class Mode(IntEnum):
    """What a message says of a range."""

    SKIP = 0
    FINGERPRINT = 1
    IDS = 2


class Step(Struct, frozen=True):
    """What a message of the responder told: ids that it lacks, ids that it has, and the next message; None at the end.

    With limited messages an id may be told in two steps.
    """

    have: list[bytes]
    need: list[bytes]
    message: bytes | None


def respond(items: Items, message: bytes, frame_bytes: int = FRAME_BYTES) -> bytes:
    """The responder's answer to a message. Raises Invalid for a malformed one."""
    if not message or message[0] not in _VERSIONS:
        raise Invalid("a negentropy message begins with the version of its protocol")
    if message[0] != VERSION:
        return bytes((VERSION,))
    return _Answer(items, frame_bytes).to(message)


class Initiator:
    """The side that asks. The number of steps is for the caller to bound: a hostile responder may never end."""

    def __init__(self, items: Items, frame_bytes: int = FRAME_BYTES) -> None:
        self._items = items
        self._frame_bytes = frame_bytes

    def open(self) -> bytes:
        """The first message: at most 1 KiB."""
        return bytes((VERSION,)) + _split(self._items, 0, len(self._items), INFINITY, BoundWriter())

    def step(self, message: bytes) -> Step:
        """What the responder's message tells. Raises Invalid for a malformed one or another version."""
        if not message or message[0] != VERSION:
            raise Invalid("the peer speaks another version of negentropy")
        answer = _Answer(self._items, self._frame_bytes, compares=True)
        reply = answer.to(message)
        return Step(answer.have, answer.need, reply if len(reply) > 1 else None)


class _Answer:
    """One message being answered. `compares`: the initiator's, which compares lists of ids and sends none back."""

    def __init__(self, items: Items, frame_bytes: int, *, compares: bool = False) -> None:
        self._items = items
        self._room = max(frame_bytes, MIN_FRAME_BYTES) - _RESERVE_BYTES
        self._compares = compares
        self._bounds = BoundWriter()
        self._out = bytearray((VERSION,))
        self._equal_to: bytes | None = None  # nothing is left to say of the ranges up to here
        self.have: list[bytes] = []
        self.need: list[bytes] = []

    def to(self, message: bytes) -> bytes:
        reader = Reader(message, 1)
        lower, below = 0, b""
        while reader.has_more():
            bound = reader.bound()
            if bound < below:
                raise Invalid("the bounds of a negentropy message go back")
            upper = self._items.find(bound, lower)
            unsaid = self._range(reader, lower, upper, bound)
            if unsaid is not None:
                self._out += self._skip() + _fingerprint(self._items, unsaid, len(self._items), INFINITY, self._bounds)
                break
            lower, below = upper, bound
        return bytes(self._out)

    def _range(self, reader: Reader, lower: int, upper: int, bound: bytes) -> int | None:
        """Answer one range. If the message has no room for it: the index from which on nothing was said."""
        mode = reader.varint()
        if mode == Mode.IDS:
            theirs = reader.ids()
            if not self._compares:
                return self._list(lower, upper, bound)
            self._compare(theirs, lower, upper)
        elif mode == Mode.FINGERPRINT:
            if reader.take(FINGERPRINT_BYTES) != self._items.fingerprint(lower, upper):
                return self._divide(lower, upper, bound)
        elif mode != Mode.SKIP:
            raise Invalid("a negentropy range has an unknown mode")
        self._equal_to = bound
        return None

    def _divide(self, lower: int, upper: int, bound: bytes) -> int | None:
        time_before, equal_before = self._bounds.time, self._equal_to
        said = self._skip() + _split(self._items, lower, upper, bound, self._bounds)
        if len(self._out) + len(said) > self._room:
            self._bounds.time, self._equal_to = time_before, equal_before
            return lower
        self._out += said
        return None

    def _list(self, lower: int, upper: int, bound: bytes) -> int | None:
        """Say the ids of a range, or as many of them as find room."""
        room = (self._room - len(self._out)) // ID_BYTES + 1
        last = min(upper, lower + room)
        self._out += self._skip()
        self._out += _ids(self._items, lower, last, bound if last == upper else self._items.item(last), self._bounds)
        return last if last < upper or len(self._out) > self._room else None

    def _skip(self) -> bytes:
        if self._equal_to is None:
            return b""
        bound, self._equal_to = self._equal_to, None
        return self._bounds.encode(bound) + varint(Mode.SKIP)

    def _compare(self, listed: list[bytes], lower: int, upper: int) -> None:
        theirs = dict.fromkeys(listed)
        for event_id in self._items.ids(lower, upper):
            if event_id in theirs:
                del theirs[event_id]
            else:
                self.have.append(event_id)
        self.need += theirs


def _split(items: Items, lower: int, upper: int, bound: bytes, bounds: BoundWriter) -> bytes:
    """What to say of a range that differs: its ids if they are few, else the fingerprints of its parts."""
    if upper - lower < 2 * _BUCKETS:
        return _ids(items, lower, upper, bound, bounds)
    size, longer = divmod(upper - lower, _BUCKETS)
    text = b""
    for number in range(_BUCKETS):
        ends = lower + size + (number < longer)
        text += _fingerprint(items, lower, ends, bound if ends == upper else items.bound_between(ends), bounds)
        lower = ends
    return text


def _fingerprint(items: Items, lower: int, upper: int, bound: bytes, bounds: BoundWriter) -> bytes:
    return bounds.encode(bound) + varint(Mode.FINGERPRINT) + items.fingerprint(lower, upper)


def _ids(items: Items, lower: int, upper: int, bound: bytes, bounds: BoundWriter) -> bytes:
    ids = items.ids(lower, upper)
    return bounds.encode(bound) + varint(Mode.IDS) + varint(len(ids)) + b"".join(ids)

"""How copies stand in the shared cache: under a key that names version, epoch and filter, in a form that shows damage.

Rule: what is read back is what was written by this version for this filter in this epoch, or nothing.
"""

import struct
import zlib
from hashlib import blake2b

import orjson
from msgspec import Struct

from relay.protocol.filters import Filter

VERSION = 1
_HEAD = struct.Struct("<2sB?Q16s")
_CHECKSUM = struct.Struct("<I")
_BODY = _HEAD.size + _CHECKSUM.size
_MAGIC = b"nr"


class Foreign(ValueError):
    """the value is damaged, of another version, or of another filter"""


class Record(Struct, frozen=True, gc=False):
    """The texts of an answer at a position."""

    position: int
    complete: bool
    texts: list[bytes]


def canonical(flt: Filter) -> bytes:
    """The same bytes for filters that mean the same: order and doubles in lists do not matter."""
    return orjson.dumps(
        [
            None if flt.ids is None else sorted(flt.ids),
            None if flt.authors is None else sorted(flt.authors),
            None if flt.kinds is None else sorted(flt.kinds),
            flt.since,
            flt.until,
            flt.limit,
            flt.capped,
            [[letter, sorted(keys)] for letter, keys in flt.tags],
        ]
    )


def result_key(epoch: int, digest: bytes) -> bytes:
    """The key of a filter's answer; the braces keep it in one slot with its lock."""
    return b"relay:%d:r:{%d:%b}" % (VERSION, epoch, digest.hex().encode())


def event_key(epoch: int, event_id: str) -> bytes:
    """The key of an event; the first digit of the id is the tag, so that a cluster's slots are few for many."""
    return f"relay:{VERSION}:e:{{{epoch}:{event_id[:1]}}}:{event_id}".encode()


def profile_key(epoch: int, pubkey: str) -> bytes:
    """The key of an author's profile, in the slot of the events whose ids begin with the same digit."""
    return f"relay:{VERSION}:p:{{{epoch}:{pubkey[:1]}}}:{pubkey}".encode()


def digest(flt: Filter) -> bytes:
    """16 bytes that stand for a filter."""
    return blake2b(canonical(flt), digest_size=16).digest()


def pack(owner: bytes, record: Record) -> bytes:
    """The value of a record; `owner` is the 16 bytes of what it belongs to."""
    head = _HEAD.pack(_MAGIC, VERSION, record.complete, record.position, owner)
    body = b"\n".join(record.texts)
    return head + _CHECKSUM.pack(_checksum(head, body)) + body


def _checksum(head: bytes, body: bytes) -> int:
    """Of both: a position that is off by one bit is as wrong as a text."""
    return zlib.crc32(body, zlib.crc32(head))


def unpack(owner: bytes, value: bytes) -> Record:
    """The record in a value. Raises Foreign for anything that `pack` did not write for this owner."""
    if len(value) < _BODY:
        raise Foreign("too short")
    head, body = value[: _HEAD.size], value[_BODY:]
    magic, version, complete, position, written_for = _HEAD.unpack(head)
    (checksum,) = _CHECKSUM.unpack_from(value, _HEAD.size)
    if magic != _MAGIC or version != VERSION or written_for != owner or _checksum(head, body) != checksum:
        raise Foreign("not ours")
    return Record(position, complete, body.split(b"\n") if body else [])

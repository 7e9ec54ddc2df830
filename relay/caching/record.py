"""Answers in the shared cache: a key that names format, store, cache and filter, and a value that shows damage.

Rule: what is read back is what was written by this format for this filter in this store and epoch, or nothing.
"""

import random
import struct
import time
import zlib
from collections.abc import Sequence
from hashlib import blake2b

import orjson
from msgspec import Struct

from relay.protocol.filters import Filter

FORMAT = 2
TTL_SECONDS = 3_600.0
TTL_SPREAD = 0.1
"""Lifetimes differ by so much either way, so that what was written together does not expire together."""

_HEAD = struct.Struct("<2sB?Q16s")
_CHECKSUM = struct.Struct("<I")
_BODY = _HEAD.size + _CHECKSUM.size
_MAGIC = b"nr"


class Foreign(ValueError):
    """the value is damaged, of another format, or of another filter"""


class Record(Struct, frozen=True, gc=False):
    """The texts of an answer at a position. `complete`: no stored match lies below the last text."""

    position: int
    complete: bool
    texts: Sequence[bytes]


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


def digest(flt: Filter) -> bytes:
    """16 bytes that stand for a filter."""
    return blake2b(canonical(flt), digest_size=16).digest()


def key(store: str, cache: str, owner: bytes) -> bytes:
    """The key of a record. `store` is `Store.name`; the first digit of the digest is in the hash tag, so that many keys
    stand in few slots of a Cluster.
    """
    name = owner.hex()
    return f"relay:{FORMAT}:{{{store}:{cache}:{name[0]}}}:{name}".encode()


def key_pattern(store: str, cache: str) -> bytes:
    """What matches the keys of a cache of a store, for SCAN."""
    return f"relay:{FORMAT}:{{{store}:{cache}:*".encode()


def pack(owner: bytes, record: Record) -> bytes:
    """The value of a record; `owner` is the digest of its filter."""
    head = _HEAD.pack(_MAGIC, FORMAT, record.complete, record.position, owner)
    body = b"\n".join(record.texts)
    return head + _CHECKSUM.pack(_checksum(head, body)) + body


def _checksum(head: bytes, body: bytes) -> int:
    """Of both: a position that is off by one bit is as wrong as a text."""
    return zlib.crc32(body, zlib.crc32(head))


def unpack(owner: bytes, value: bytes) -> Record:
    """The record in a value. Raises Foreign for anything that `pack` did not write for this filter."""
    if len(value) < _BODY:
        raise Foreign("too short")
    head, body = value[: _HEAD.size], value[_BODY:]
    magic, version, complete, position, written_for = _HEAD.unpack(head)
    (checksum,) = _CHECKSUM.unpack_from(value, _HEAD.size)
    if magic != _MAGIC or version != FORMAT or written_for != owner or _checksum(head, body) != checksum:
        raise Foreign("not ours")
    return Record(position, complete, body.split(b"\n") if body else [])


def ttl_seconds(expires_at: int | None = None) -> float:
    """Seconds to live; never past `expires_at` (Unix seconds), when the first event of the record expires."""
    seconds = TTL_SECONDS * random.uniform(1 - TTL_SPREAD, 1 + TTL_SPREAD)  # noqa: S311 - no secret
    return seconds if expires_at is None else max(0.001, min(seconds, expires_at - time.time()))

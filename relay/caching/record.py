"""Answers in the shared cache: a key that names format, store, cache and filter, and a value with a checksum.

Rule: reading returns what was written in this format for this filter in this store and epoch, or nothing.
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
from relay.protocol.visibility import left_out

FORMAT = 3
TTL_SECONDS = 3_600.0
TTL_SPREAD = 0.1
"""Random share of the lifetime, either way, so that records written together do not expire together."""

_HEAD = struct.Struct("<2sB?Q16s32s")
_CHECKSUM = struct.Struct("<I")
_BODY = _HEAD.size + _CHECKSUM.size
_MAGIC = b"nr"


class InvalidRecord(ValueError):
    """the value is damaged, of another format, or of another filter"""


class Record(Struct, frozen=True, gc=False):
    """The texts of an answer at a position. `complete`: no stored match lies below the last; `next`: the id of one."""

    position: int
    complete: bool
    texts: Sequence[bytes]
    next: str | None = None


def canonical(flt: Filter) -> bytes:
    """Equal bytes for filters that mean the same: order and duplicates in lists do not matter.

    What copies may hold is part of the meaning, for it may be set otherwise at the next start.
    """
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
            left_out(),
        ]
    )


def digest(flt: Filter) -> bytes:
    """A 16-byte hash of a filter."""
    return blake2b(canonical(flt), digest_size=16).digest()


def key(store: str, cache: str, owner: bytes) -> bytes:
    """The key of a record. `store` is `Store.name`. The hash tag holds the first digit of the digest, so that many keys
    share a few slots of a Cluster.
    """
    name = owner.hex()
    return f"relay:{FORMAT}:{{{store}:{cache}:{name[0]}}}:{name}".encode()


def key_pattern(store: str, cache: str) -> bytes:
    """The SCAN pattern of the keys of a cache of a store."""
    return f"relay:{FORMAT}:{{{store}:{cache}:*".encode()


def pack(owner: bytes, record: Record) -> bytes:
    """The value of a record; `owner` is the digest of its filter."""
    head = _HEAD.pack(_MAGIC, FORMAT, record.complete, record.position, owner, bytes.fromhex(record.next or "00" * 32))
    body = b"\n".join(record.texts)
    return head + _CHECKSUM.pack(_checksum(head, body)) + body


def _checksum(head: bytes, body: bytes) -> int:
    """Of head and body: a wrong position is as bad as a wrong text."""
    return zlib.crc32(body, zlib.crc32(head))


def unpack(owner: bytes, value: bytes) -> Record:
    """The record in a value. Raises InvalidRecord for any value that `pack` did not write for this filter."""
    if len(value) < _BODY:
        raise InvalidRecord("too short")
    head, body = value[: _HEAD.size], value[_BODY:]
    magic, version, complete, position, written_for, following = _HEAD.unpack(head)
    (checksum,) = _CHECKSUM.unpack_from(value, _HEAD.size)
    if magic != _MAGIC or version != FORMAT or written_for != owner or _checksum(head, body) != checksum:
        raise InvalidRecord("not ours")
    return Record(position, complete, body.split(b"\n") if body else [], following.hex() if any(following) else None)


def ttl_seconds(expires_at: int | None = None) -> float:
    """Time to live in seconds, at most until `expires_at` (Unix seconds), the first expiration in the record."""
    seconds = TTL_SECONDS * random.uniform(1 - TTL_SPREAD, 1 + TTL_SPREAD)  # noqa: S311 - no secret
    return seconds if expires_at is None else max(0.001, min(seconds, expires_at - time.time()))

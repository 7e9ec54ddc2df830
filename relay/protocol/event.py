"""An event as received (`Event`), and as storage, ring, hub and bus carry it (`StoredEvent`).

Rule: stored and sent text is encoded from the parsed values, so that all readers see the same (01-E15).
"""

import hashlib
from string import ascii_letters
from typing import Annotated, Final

import msgspec
import orjson

from relay.protocol import kinds
from relay.protocol.errors import Invalid
from relay.protocol.keys import is_signed_by

MAX_INTEGER: Final = 2**63 - 1  # the widest integer that PostgreSQL and other relays hold (01-E10)

_LETTERS = frozenset(ascii_letters)
_VERBATIM = [(b"\\u00%02x" % code, bytes((code,))) for code in range(32)]
_BACKSLASH, _NO_UTF8 = rb"\\", b"\xff"

Tags = list[list[str]]


class Event(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An event with the seven fields of NIP-01, of the right types; `shape` checks the rest.

    `created_at` is in Unix seconds. Id and signature may be wrong: call the two methods. Unknown keys fail the typed
    decode, which would skip them without checking UTF-8 or depth; `shape` drops them after orjson has checked (01-E14).
    """

    id: str
    pubkey: str
    created_at: Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
    kind: Annotated[int, msgspec.Meta(ge=0, le=kinds.MAX_KIND)]
    tags: Tags
    content: str
    sig: str

    @property
    def json(self) -> bytes:
        """The canonical text, keys in the order of the fields, as stored and sent. Encoded on each call."""
        return orjson.dumps(
            {
                "id": self.id,
                "pubkey": self.pubkey,
                "created_at": self.created_at,
                "kind": self.kind,
                "tags": self.tags,
                "content": self.content,
                "sig": self.sig,
            }
        )

    def has_valid_id(self) -> bool:
        """True if the id is the SHA-256 of the serialised event (01-E04), in either form of control characters.

        NIP-01 wants control characters verbatim, JSON.stringify escapes most of them as \\u00XX, and events of both
        forms exist (01-E06). orjson encodes like JSON.stringify: that form is tried first, the verbatim one only if the
        event has such a character.
        """
        text = orjson.dumps([0, self.pubkey, self.created_at, self.kind, self.tags, self.content])
        if hashlib.sha256(text).hexdigest() == self.id:
            return True
        if b"\\u00" not in text:
            return False
        return hashlib.sha256(_verbatim(text)).hexdigest() == self.id

    def has_valid_signature(self) -> bool:
        """True if the author signed the id (about 60 us). Check the id first (01-E03)."""
        return is_signed_by(self.pubkey, self.sig, self.id)


def _verbatim(text: bytes) -> bytes:
    """JSON text with its \\u00XX as the characters that they stand for: 32 searches, however many escapes there are.
    A call for each took 0.3 s for a megabyte of them.
    """
    text = text.replace(_BACKSLASH, _NO_UTF8)  # now a backslash before a u begins an escape
    for escape, character in _VERBATIM:
        text = text.replace(escape, character)
    return text.replace(_NO_UTF8, _BACKSLASH)


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """The fields of an accepted event that matching and sending need.

    `expires_at` is in Unix seconds. `tag_keys` holds letter + value for every tag with a one-letter name and a value
    (01-F05), as `Filter.tags` does. `json` is `Event.json`.
    """

    id: str
    pubkey: str
    created_at: int
    kind: int
    expires_at: int | None
    tag_keys: frozenset[str]
    json: bytes

    @classmethod
    def of(cls, event: Event) -> "StoredEvent":
        """Never raises: a malformed expiration, which `shape` refuses, counts as none."""
        tags = event.tags
        # A copy: what orjson returns keeps the 4 KB that it was written into, and the ring keeps thousands of them.
        text = bytes(memoryview(event.json))
        return cls(event.id, event.pubkey, event.created_at, event.kind, _expires_at(tags), _tag_keys(tags), text)

    @classmethod
    def from_json(cls, raw: bytes) -> "StoredEvent":
        """From the canonical text of an accepted event, which is kept. Raises msgspec.DecodeError for other text."""
        event = _decode_indexed(raw)
        tags = event.tags
        return cls(event.id, event.pubkey, event.created_at, event.kind, _expires_at(tags), _tag_keys(tags), raw)


class _Indexed(msgspec.Struct, gc=False):
    # Content and signature are skipped, not decoded.
    id: str
    pubkey: str
    created_at: int
    kind: int
    tags: Tags


_decode_indexed = msgspec.json.Decoder(_Indexed).decode


def _tag_keys(tags: Tags) -> frozenset[str]:
    return frozenset([tag[0] + tag[1] for tag in tags if len(tag) > 1 and tag[0] in _LETTERS])


def _expires_at(tags: Tags) -> int | None:
    try:
        return expiration(tags)
    except Invalid:
        return None


def expiration(tags: Tags) -> int | None:
    """The first `expiration` tag in Unix seconds, None without one (NIP-40).

    Raises Invalid for a missing value, for anything but ASCII digits, and above 2^63 - 1 (40-4).
    """
    for tag in tags:
        if tag and tag[0] == "expiration":
            return _seconds(tag[1] if len(tag) > 1 else "")
    return None


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise Invalid("the expiration tag must hold a time in whole seconds")
    digits = text.lstrip("0") or "0"
    if len(digits) > 19 or int(digits) > MAX_INTEGER:
        raise Invalid("the expiration tag must not be above 2^63 - 1")
    return int(digits)


def address(event: Event) -> tuple[str, int, str] | None:
    """(pubkey, kind, d) of a replaceable or addressable event, None for other kinds (01-K02, 01-K03).

    d is the value of the first d tag; it is empty without a tag or value (01-K05) and for replaceable kinds, whose d
    tags have no meaning.
    """
    if kinds.is_addressable(event.kind):
        return event.pubkey, event.kind, _d_value(event.tags)
    if kinds.is_replaceable(event.kind):
        return event.pubkey, event.kind, ""
    return None


def _d_value(tags: Tags) -> str:
    for tag in tags:
        if tag and tag[0] == "d":
            return tag[1] if len(tag) > 1 else ""
    return ""


def is_protected(tags: Tags) -> bool:
    """True for an event with a tag named `-`, which only its author may publish (NIP-70, 70-1)."""
    return any(tag and tag[0] == "-" for tag in tags)

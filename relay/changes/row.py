"""Reads the fields that answers need from a stored text, without decoding all of it.

Rule: the text was written by `Event.json`, with its fixed order of keys (relay.protocol.event).
"""

from msgspec import Struct

from relay.protocol.event import StoredEvent

_ID = slice(len(b'{"id":"'), len(b'{"id":"') + 64)
_CREATED_AT = len(b'{"id":"","pubkey":"","created_at":') + 128
_PUBKEY = slice(len(b'{"id":"","pubkey":"') + 64, len(b'{"id":"","pubkey":"') + 128)
_KIND = len(b',"kind":')


def id_of(text: bytes) -> bytes:
    """The id in a stored text, 64 hex digits."""
    return text[_ID]


def pubkey_of(text: bytes) -> str:
    """The author in a stored text, 64 hex digits."""
    return text[_PUBKEY].decode("ascii")


def created_at_of(text: bytes) -> int:
    """`created_at` in a stored text, Unix seconds."""
    return int(text[_CREATED_AT : text.index(b",", _CREATED_AT)])


def kind_of(text: bytes) -> int:
    """The kind in a stored text."""
    begin = text.index(b",", _CREATED_AT) + _KIND
    return int(text[begin : text.index(b",", begin)])


class Row(Struct, frozen=True, gc=False):
    """One event of an answer. Times in Unix seconds."""

    id: str
    created_at: int
    kind: int
    expires_at: int | None
    json: bytes

    @classmethod
    def of(cls, text: bytes) -> "Row":
        """The row of a stored text. Raises ValueError for any other text."""
        end = text.index(b",", _CREATED_AT)
        kind_at = end + _KIND
        expires_at = StoredEvent.from_json(text).expires_at if b'"expiration"' in text else None
        return cls(
            text[_ID].decode("ascii"),
            int(text[_CREATED_AT:end]),
            int(text[kind_at : text.index(b",", kind_at)]),
            expires_at,
            text,
        )

"""The bytes of a server's frames (RFC 6455, 5): unmasked, never fragmented. Pure.

Rule: every frame is legal on the wire, whatever the application asked for.
"""

from collections.abc import Iterable
from struct import Struct

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
MAX_REASON_BYTES = 123  # a control frame's payload is at most 125 bytes, two of them the code

_FIN = 0x80
_MEDIUM = Struct("!BBH").pack
_LONG = Struct("!BBQ").pack
_TABLED = 2_048
_HEADERS = tuple(
    bytes((_FIN | TEXT, size)) if size < 126 else _MEDIUM(_FIN | TEXT, 126, size) for size in range(_TABLED)
)
"""Of text frames of most sizes: making one takes as long as four look-ups."""

EMPTY_PING = bytes((_FIN | PING, 0))


def text_frames(payloads: Iterable[bytes]) -> bytes:
    """One text frame for each payload (UTF-8), joined for one write."""
    parts = []
    for payload in payloads:
        size = len(payload)
        if size < _TABLED:
            parts.append(_HEADERS[size])
        elif size < 65536:
            parts.append(_MEDIUM(_FIN | TEXT, 126, size))
        else:
            parts.append(_LONG(_FIN | TEXT, 127, size))
        parts.append(payload)
    return b"".join(parts)


def frame(opcode: int, payload: bytes) -> bytes:
    """One final frame of any kind. A control frame's payload must have at most 125 bytes."""
    size = len(payload)
    if size < 126:
        return bytes((_FIN | opcode, size)) + payload
    if size < 65536:
        return _MEDIUM(_FIN | opcode, 126, size) + payload
    return _LONG(_FIN | opcode, 127, size) + payload


def is_wire_close_code(code: int) -> bool:
    """Whether `code` may stand in a close frame (RFC 6455, 7.4, and IANA's registry: 1012 to 1014)."""
    return 3000 <= code <= 4999 or code in {1000, 1001, 1002, 1003} or 1007 <= code <= 1014


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut to 123 bytes at the border of a character.

    Raises ValueError for a code that must not stand on the wire (1005, 1006, 0, ...).
    """
    if not is_wire_close_code(code):
        raise ValueError(f"close code {code} must not be sent: use 1000 to 1003, 1007 to 1014 or 3000 to 4999")
    return frame(CLOSE, code.to_bytes(2, "big") + cut_reason(reason))


def cut_reason(reason: str) -> bytes:
    """The reason as UTF-8 of at most 123 bytes; lone surrogates become question marks."""
    raw = reason.encode("utf-8", "replace")
    return raw if len(raw) <= MAX_REASON_BYTES else raw[:MAX_REASON_BYTES].decode("utf-8", "ignore").encode()

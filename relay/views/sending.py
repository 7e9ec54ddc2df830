"""Sends complete responses in pieces, as fast as their clients read, with a bound for all of them together.

Without it, clients that ask for large answers and do not read them decide how much memory a worker takes.
"""

from typing import Any

from relay.transport.counters import counters

PIECE_BYTES = 65_536
LIMIT_BYTES = 67_108_864
"""Bodies that one worker is sending."""

Headers = list[tuple[bytes, bytes]]


class _BeingSent:
    """The bytes of the bodies that are being sent."""

    total = 0


async def send_response(status: int, headers: Headers, body: bytes, send: Any) -> None:
    """ASGI: send one response; 503 instead of a large one while too many are being sent."""
    size = len(body)
    if size > PIECE_BYTES and _BeingSent.total + size > LIMIT_BYTES:
        await send_busy(send)
        return
    _BeingSent.total += size
    try:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for start in range(0, size, PIECE_BYTES):
            piece = body[start : start + PIECE_BYTES] if size > PIECE_BYTES else body
            await send({"type": "http.response.body", "body": piece, "more_body": start + PIECE_BYTES < size})
        if not size:
            await send({"type": "http.response.body", "body": b""})
    finally:
        _BeingSent.total -= size


async def send_busy(send: Any) -> None:
    """ASGI: 503 with Retry-After, counted."""
    counters.refused("busy")
    text = b"The relay has too many requests: try again.\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(text)),
        (b"retry-after", b"5"),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": text})

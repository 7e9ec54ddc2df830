"""Reads the body of a request before the request gets a thread, so that a client which sends it slowly holds none."""

from typing import Any

from relay.transport.strict_http import BODY_BYTES

READING = 256
"""Bodies that one worker reads at a time, 16 MiB; the next one gets 503. A request without a body is not counted."""


class TooMany(Exception):
    """too many bodies are being read"""


class Incoming:
    """ASGI's `receive` of a request of which `body` was read; what follows it comes from the server's `receive`."""

    def __init__(self, receive: Any, body: bytes, *, has_more: bool) -> None:
        self._receive = receive
        self._read: dict[str, Any] | None = {"type": "http.request", "body": body, "more_body": has_more}

    async def __call__(self) -> Any:
        """ASGI: the body, then the next message of the server."""
        read, self._read = self._read, None
        return await self._receive() if read is None else read


class Bodies:
    """The bodies that a worker reads now."""

    def __init__(self) -> None:
        self._reading = 0

    async def read(self, scope: Any, receive: Any) -> Incoming | None:
        """The request with its body; None if its client has gone. The caller limits the time. Raises TooMany.

        A body above BODY_BYTES, which `relay.transport` refuses, is read no further: other servers have bounds of
        their own.
        """
        counted = _has_body(scope)
        if counted and self._reading >= READING:
            raise TooMany
        self._reading += counted
        try:
            return await _read(receive)
        finally:
            self._reading -= counted


async def _read(receive: Any) -> Incoming | None:
    parts, size, has_more = [], 0, True
    while has_more and size <= BODY_BYTES:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        has_more = message.get("more_body", False)
    return Incoming(receive, b"".join(parts), has_more=has_more)


def _has_body(scope: Any) -> bool:
    framing = (b"content-length", b"transfer-encoding")
    return any(name in framing and value != b"0" for name, value in scope.get("headers", ()))

"""The opening handshake (RFC 6455, 4.2): parses and validates the request head, builds every response. Pure.

Not left to picows, which refuses Firefox's `Connection: keep-alive, Upgrade`.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate
from hashlib import sha1
from http import HTTPStatus

Headers = list[tuple[bytes, bytes]]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_VALUE = re.compile(rb"[^\x00\r\n]*\Z")


class Refused(Exception):
    """Not a valid WebSocket handshake: `status`, `headers` and the text are the HTTP response."""

    def __init__(self, status: int, text: str, headers: Headers | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers or []


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head: method and target as on the wire, header names in lower case."""

    method: bytes
    target: bytes
    headers: Headers

    def values(self, name: bytes) -> list[bytes]:
        """The values of a header (its name in lower case), in order."""
        return [value for key, value in self.headers if key == name]

    @property
    def subprotocols(self) -> list[str]:
        """The offered subprotocols, in order."""
        joined = b",".join(self.values(b"sec-websocket-protocol")).decode("latin-1")
        return [token.strip() for token in joined.split(",") if token.strip()]


def read_request(head: bytes) -> Request:
    """Parse a head from uvicorn's HTTP protocol, which has validated it: one line for each header."""
    request_line, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, target, _ = request_line.split(b" ", 2)
    pairs = (line.partition(b":") for line in lines)
    return Request(method, target, [(name.lower(), value.strip(b" \t")) for name, _, value in pairs])


def accept_key(request: Request) -> bytes:
    """The value of Sec-WebSocket-Accept. Raises Refused: 426 for another version, 400 for anything else."""
    if request.method != b"GET":
        raise Refused(400, "A WebSocket handshake is a GET request.")
    if request.values(b"transfer-encoding") or any(value.strip(b"0") for value in request.values(b"content-length")):
        raise Refused(400, "A WebSocket handshake has no body.")
    if request.values(b"sec-websocket-version") != [b"13"]:
        headers = [(b"Sec-WebSocket-Version", b"13"), (b"Upgrade", b"websocket")]
        raise Refused(426, "Only version 13 of the WebSocket protocol is spoken here.", headers)
    keys = request.values(b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise Refused(400, "Sec-WebSocket-Key must be 16 bytes in base64, once.")
    return b64encode(sha1(keys[0] + _GUID, usedforsecurity=False).digest())


def _is_key(value: bytes) -> bool:
    try:
        return len(b64decode(value, validate=True)) == 16
    except ValueError:
        return False


def switching_protocols(accept: bytes, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The 101 response. Raises ValueError for a header that would break out of its line."""
    own = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", accept)]
    if subprotocol:
        own.append((b"Sec-WebSocket-Protocol", subprotocol.encode("latin-1")))
    return _head(101, [*own, *headers])


def response(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    """A complete response that closes the connection. Raises ValueError as `switching_protocols` does."""
    replaced = {b"connection", b"content-length", b"transfer-encoding"}
    kept = [(name, value) for name, value in headers if name.lower() not in replaced]
    names = {name.lower() for name, _ in kept}
    if b"content-type" not in names:
        kept.append((b"Content-Type", b"text/plain; charset=utf-8"))
    if b"date" not in names:
        kept.append((b"Date", formatdate(usegmt=True).encode()))
    kept += [(b"Content-Length", b"%d" % len(body)), (b"Connection", b"close")]
    return _head(status, kept) + body


def _head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    lines = [b"HTTP/1.1 %d %b" % (status, _phrase(status))]
    for name, value in headers:
        if not _NAME.match(name) or not _VALUE.match(value):
            raise ValueError(f"not a legal response header: {name!r}: {value!r}")
        lines.append(name + b": " + value)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""

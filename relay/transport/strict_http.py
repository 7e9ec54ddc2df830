"""h11 with the rules that it leaves out: strict framing (RFC 9112), bounds of head and body, targets of every form.

What two servers read differently lets one request hide inside another (request smuggling): such a request is refused,
never repaired. Uses `_receive_buffer` of h11 to see a head as it was sent; pinned: h11 0.16.0.
"""

import re
from collections.abc import Mapping
from typing import Any

import h11
from h11._receivebuffer import ReceiveBuffer

HEAD_BYTES = 16_384
HEADERS = 100
CONTENT_TYPE_BYTES = 256
"""Django reads it in the event loop, in a time that grows with its square: 16 KiB of semicolons took 0.2 s."""
COOKIE_ESCAPES = 100
"""Backslashes in cookies, which RFC 6265 has none of. Python before 3.11.10 and 3.12.6 unquotes 8,000 in 0.6 s."""
BODY_BYTES = 65_536
"""Few addresses take more: the largest form of the admin, a list with 100 chosen rows, sends 5 KB."""
CHUNKS = 1_000
"""Of one body; reading a chunk of one byte costs as much as one of a thousand."""
CHUNK_LINE_BYTES = 256

_BROKEN_LINE = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n)|\n[ \t]")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_ABSOLUTE = re.compile(rb"(?:https?|wss?)://([^/?#@\s]+)([/?][^#]*)?\Z", re.IGNORECASE)


class _Buffer(ReceiveBuffer):
    """Gives out lines that end with CR LF and hold no other control character than a tab, or raises."""

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """The lines of a head or a trailer; None while it is not complete."""
        data: bytearray = self._data
        if data[:2] == b"\r\n":
            self._extract(2)
            return []
        searched: int = self._multiple_lines_search
        end = data.find(b"\r\n\r\n", max(0, searched - 3))
        if end < 0:
            if _BARE_LINE_FEED.search(data, searched):
                raise h11.LocalProtocolError("A line ends with CR LF.")
            self._multiple_lines_search = len(data)
            return None
        if end > HEAD_BYTES - 4:
            raise h11.LocalProtocolError(f"A head has at most {HEAD_BYTES} bytes.", 431)
        head = self._extract(end + 4)[:-4]
        if _BROKEN_LINE.search(head):
            raise h11.LocalProtocolError("A head has a folded line, a bare CR or LF, or a control character.")
        lines = head.split(b"\r\n")
        if len(lines) > HEADERS + 1:
            raise h11.LocalProtocolError(f"A head has at most {HEADERS} headers.", 431)
        return lines

    def maybe_extract_next_line(self) -> bytearray | None:
        """The line before a chunk; None while it is not complete."""
        line: bytearray | None = super().maybe_extract_next_line()
        if len(self._data if line is None else line) > CHUNK_LINE_BYTES:
            raise h11.LocalProtocolError("The line before a chunk is too long.")
        if line is not None and _BROKEN_LINE.search(line[:-2]):
            raise h11.LocalProtocolError("The line before a chunk has a control character.")
        return line


class StrictConnection(h11.Connection):
    """The server's side of one connection. `refusal` has status and text once `next_event` has raised."""

    def __init__(self, body_bytes: int = BODY_BYTES, large: Mapping[bytes, int] | None = None) -> None:
        """`large`: the targets that take more, with their bounds."""
        super().__init__(h11.SERVER, HEAD_BYTES)
        self._receive_buffer = _Buffer()
        self._default_limit = self._body_limit = body_bytes
        self._large = large or {}
        self._body_bytes = 0
        self._chunks = 0
        self.in_body = False  # a head was read, and its body has not ended
        self.refusal = (400, "Bad request.")

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the socket; one empty line before a request is ignored (RFC 9112, 2.2)."""
        if self.their_state is h11.IDLE and data[:2] == b"\r\n" and not self._receive_buffer:
            data = data[2:]
            if not data:  # an empty one would mean the end of the stream
                return
        super().receive_data(data)

    def next_event(self) -> Any:
        """As h11's. Raises h11.RemoteProtocolError for a request that is refused."""
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                event = self._checked(event)
            elif isinstance(event, h11.Data):
                self._count(event)
            elif isinstance(event, h11.EndOfMessage):
                self.in_body = False
        except h11.RemoteProtocolError as error:
            # h11's texts quote the client; those of this module end with a full stop.
            own = str(error) if str(error).endswith(".") else "Bad request."
            self.refusal = (error.error_status_hint, own)
            raise
        return event

    def _checked(self, request: h11.Request) -> h11.Request:
        """The request with its target in origin form. Raises h11.RemoteProtocolError."""
        self._body_bytes = self._chunks = 0
        self.in_body = True
        if request.http_version[:2] != b"1.":
            raise h11.RemoteProtocolError("Only HTTP/1.1 and HTTP/1.0 are spoken here.", 505)
        lengths = [value for name, value in request.headers if name == b"content-length"]
        if any(name == b"transfer-encoding" for name, _ in request.headers) and (
            lengths or request.http_version == b"1.0"
        ):
            raise h11.RemoteProtocolError("A body has one framing: Content-Length, or Transfer-Encoding of HTTP/1.1.")
        types = [value for name, value in request.headers if name == b"content-type"]
        if types and len(b",".join(types)) > CONTENT_TYPE_BYTES:  # Django joins them
            raise h11.RemoteProtocolError(f"A Content-Type has at most {CONTENT_TYPE_BYTES} bytes.", 431)
        if sum(value.count(b"\\") for name, value in request.headers if name == b"cookie") > COOKIE_ESCAPES:
            raise h11.RemoteProtocolError(f"Cookies have at most {COOKIE_ESCAPES} backslashes.")
        request = _in_origin_form(request)
        self._body_limit = self._large.get(bytes(request.target), self._default_limit)
        if lengths and int(lengths[0]) > self._body_limit:
            raise self._too_large()
        return request

    def _count(self, data: h11.Data) -> None:
        self._body_bytes += len(data.data)
        self._chunks += data.chunk_start
        if self._body_bytes > self._body_limit or self._chunks > CHUNKS:
            raise self._too_large()

    def _too_large(self) -> h11.RemoteProtocolError:
        return h11.RemoteProtocolError(f"A body has at most {self._body_limit} bytes.", 413)


def _in_origin_form(request: h11.Request) -> h11.Request:
    """Absolute form becomes origin form, its authority the Host header (RFC 9112, 3.2.2)."""
    target = bytes(request.target)
    if target[:1] == b"/" or (target == b"*" and request.method == b"OPTIONS"):
        return request
    found = _ABSOLUTE.match(target)
    if found is None:
        raise h11.RemoteProtocolError("The target is a path, or an http:// or https:// URL with a host.")
    authority, rest = found[1], found[2] or b"/"
    headers = [(name, value) for name, value in request.headers if name != b"host"]
    return h11.Request(
        method=request.method,
        target=rest if rest[:1] == b"/" else b"/" + rest,
        headers=[(b"host", authority), *headers],
        http_version=request.http_version,
    )

"""What the strict reader of HTTP refuses, and that it reads the same however the bytes are cut."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.transport.strict_http import (
    BODY_BYTES,
    CHUNKS,
    CONTENT_TYPE_BYTES,
    COOKIE_ESCAPES,
    HEAD_BYTES,
    HEADERS,
    StrictConnection,
)

HEAD = b"POST /nothing HTTP/1.1\r\nHost: a\r\n"
PADDING = HEAD_BYTES - len(b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n")

REFUSED = {
    "two framings": (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello", 400),
    "two framings, the other order": (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
    "chunks in HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "another coding": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "two codings": (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    "a coding in disguise": (HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n", 400),
    "lengths that differ": (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    "a list of lengths that differ": (HEAD + b"Content-Length: 5, 6\r\n\r\nhello", 400),
    "a signed length": (HEAD + b"Content-Length: +5\r\n\r\nhello", 400),
    "a negative length": (HEAD + b"Content-Length: -5\r\n\r\nhello", 400),
    "a hexadecimal length": (HEAD + b"Content-Length: 0x5\r\n\r\nhello", 400),
    "an empty length": (HEAD + b"Content-Length: \r\n\r\n", 400),
    "a folded line": (HEAD + b"X: a\r\n b\r\n\r\n", 400),
    "a folded line with a tab": (HEAD + b"X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n", 400),
    "a folded first line": (b"GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n", 400),
    "a bare LF after a header": (HEAD + b"X: a\nY: b\r\n\r\n", 400),
    "a bare LF at the end": (HEAD + b"X: a\r\n\n", 400),
    "bare LFs alone": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "a bare CR": (HEAD + b"X: a\rY: b\r\n\r\n", 400),
    "a doubled CR": (HEAD + b"X: a\r\r\n\r\n", 400),
    "white space before the colon": (HEAD + b"Content-Length : 5\r\n\r\nhello", 400),
    "a tab before the colon": (HEAD + b"Content-Length\t: 5\r\n\r\nhello", 400),
    "no colon": (HEAD + b"Content-Length\r\n\r\n", 400),
    "no name": (HEAD + b": a\r\n\r\n", 400),
    "NUL in a value": (HEAD + b"X: a\0b\r\n\r\n", 400),
    "NUL in a name": (HEAD + b"X\0: a\r\n\r\n", 400),
    "another control character": (HEAD + b"X: a\x01\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "two spaces in the request line": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a tab in the request line": (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "no version": (b"GET /\r\nHost: a\r\n\r\n", 400),
    "another version": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "a target without a path": (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an authority alone": (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400),
    "a star for another method": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an absolute target without a host": (b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an absolute target with a user": (b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an absolute target of another scheme": (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a long head": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (PADDING + 1) + b"\r\n\r\n", 431),
    "a long head without an end": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * HEAD_BYTES, 431),
    "many headers": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * HEADERS + b"\r\n", 431),
    "a long content type": (HEAD + b"Content-Type: a" + b";" * CONTENT_TYPE_BYTES + b"\r\n\r\n", 431),
    "content types that are long together": (HEAD + b"Content-Type: a;b=c;d\r\n" * 40 + b"\r\n", 431),
    "a cookie of escapes": (HEAD + b'Cookie: a="' + b'\\"' * (COOKIE_ESCAPES + 1) + b'"\r\n\r\n', 400),
    "cookies of escapes": (HEAD + b'Cookie: a="\\""\r\n' * 60 + b'Cookie: b="' + b"\\101" * 41 + b'"\r\n\r\n', 400),
    "a long body": (HEAD + b"Content-Length: %d\r\n\r\n" % (BODY_BYTES + 1), 413),
    "an absurd length": (HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", 413),
    "a long chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n20000\r\n" + b"x" * 0x20000, 413),
    "many chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * (CHUNKS + 1), 413),
    "a long chunk extension": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 300, 400),
    "a bare LF before a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n", 400),
    "a bare LF after a chunk's length": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n" + b"x" * 300, 400),
    "a signed chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n", 400),
    "a chunk that goes on": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n", 400),
    "a folded trailer": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\r\n b\r\n\r\n", 400),
}

TAKEN = {
    "a plain request": (b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n", b"/a?b", b"a", b""),
    "an empty line before it": (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", b"/", b"a", b""),
    "absolute form": (b"GET http://b:80/a?c HTTP/1.1\r\nHost: a\r\n\r\n", b"/a?c", b"b:80", b""),
    "absolute form without a path": (b"GET HTTP://b HTTP/1.1\r\nHost: a\r\n\r\n", b"/", b"b", b""),
    "absolute form with a query alone": (b"GET http://b?c HTTP/1.1\r\nHost: a\r\n\r\n", b"/?c", b"b", b""),
    "absolute form of a WebSocket": (b"GET wss://[::1]:8/ HTTP/1.1\r\nHost: a\r\n\r\n", b"/", b"[::1]:8", b""),
    "a star": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"*", b"a", b""),
    "bytes above ASCII": (b"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa4\tb\r\n\r\n", b"/", b"a", b""),
    "the longest head": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * PADDING + b"\r\n\r\n", b"/", b"a", b""),
    "the most headers": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * (HEADERS - 1) + b"\r\n", b"/", b"a", b""),
    "the longest content type": (
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Type: " + b";" * CONTENT_TYPE_BYTES + b"\r\n\r\n",
        b"/",
        b"a",
        b"",
    ),
    "a cookie with escapes": (
        b'GET / HTTP/1.1\r\nHost: a\r\nCookie: a="' + b"\\054" * COOKIE_ESCAPES + b'"\r\n\r\n',
        b"/",
        b"a",
        b"",
    ),
    "a body": (HEAD + b"Content-Length: 5\r\n\r\nhello", b"/nothing", b"a", b"hello"),
    "a length said twice": (HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", b"/nothing", b"a", b"hello"),
    "the longest body": (
        HEAD + b"Content-Length: %d\r\n\r\n" % BODY_BYTES + b"x" * BODY_BYTES,
        b"/nothing",
        b"a",
        b"x" * BODY_BYTES,
    ),
    "chunks": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX: a\r\n\r\n",
        b"/nothing",
        b"a",
        b"hello",
    ),
}


def host_of(request: h11.Request) -> bytes:
    (host,) = (bytes(value) for name, value in request.headers if name == b"host")
    return host


def read(*pieces: bytes) -> tuple[bytes, bytes, bytes]:
    """Target, host and body of one request. Raises h11.RemoteProtocolError, or AssertionError if it has no end."""
    connection = StrictConnection()
    request: h11.Request | None = None
    body = b""
    for piece in pieces:
        connection.receive_data(piece)
        while (event := connection.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                assert connection.in_body is False
                return bytes(request.target), host_of(request), body
    raise AssertionError("the request has no end")


@pytest.mark.parametrize("sent, status", REFUSED.values(), ids=REFUSED)
def test_a_request_that_others_could_read_differently_is_refused(sent: bytes, status: int) -> None:
    with pytest.raises(h11.RemoteProtocolError) as refused:
        read(sent)
    assert refused.value.error_status_hint == status


@pytest.mark.parametrize("sent, target, host, body", TAKEN.values(), ids=TAKEN)
def test_a_good_request_is_read(sent: bytes, target: bytes, host: bytes, body: bytes) -> None:
    assert read(sent) == (target, host, body)


def test_a_refusal_does_not_quote_the_client() -> None:
    connection = StrictConnection()
    connection.receive_data(b"<script> / HTTP/1.1\r\n\r\n")
    with pytest.raises(h11.RemoteProtocolError):
        connection.next_event()
    assert connection.refusal == (400, "Bad request.")


SENT = [sent[:3000] for sent in (*(case[0] for case in REFUSED.values()), *(case[0] for case in TAKEN.values()))]


@given(st.sampled_from(SENT), st.data())
def test_how_the_bytes_are_cut_changes_nothing(sent: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sent) - 1), max_size=6)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    if pieces[0] == b"\r":
        pieces[:2] = [pieces[0] + pieces[1]]

    def outcome(*parts: bytes) -> object:
        try:
            return read(*parts)
        except AssertionError:
            return "no end"
        except h11.RemoteProtocolError:
            return "refused"

    assert outcome(*pieces) == outcome(sent)


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\0", b"X", b"Host", b"a", b"\x0b"])))
def test_no_line_is_read_that_has_another_end_than_cr_lf(parts: list[bytes]) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(parts)
    connection = StrictConnection()
    connection.receive_data(head + b"\r\n\r\n")
    try:
        request = connection.next_event()
    except h11.RemoteProtocolError:
        return
    assert isinstance(request, h11.Request)
    read_back = head.split(b"\r\n\r\n")[0].removesuffix(b"\r\n").split(b"\r\n")[1:]
    expected = [(name.lower(), value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in read_back)]
    assert [(bytes(name), bytes(value)) for name, value in request.headers] == expected
    assert not any(char in value for _, value in expected for char in b"\r\n\0\x0b")


def read_head(target: bytes, length: int) -> int:
    """The bound of the body that a connection sets for this request. Raises h11.RemoteProtocolError above it."""
    connection = StrictConnection(large={b"/large": 2 * BODY_BYTES})
    connection.receive_data(b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (target, length))
    connection.next_event()
    return connection._body_limit


def test_a_target_may_take_more_than_others() -> None:
    assert read_head(b"/large", 2 * BODY_BYTES) == 2 * BODY_BYTES
    assert read_head(b"http://a/large", 2 * BODY_BYTES) == 2 * BODY_BYTES
    for target in (b"/large/", b"/large?", b"/Large", b"//large", b"/other"):
        assert read_head(target, BODY_BYTES) == BODY_BYTES
        with pytest.raises(h11.RemoteProtocolError):
            read_head(target, BODY_BYTES + 1)
    with pytest.raises(h11.RemoteProtocolError):
        read_head(b"/large", 2 * BODY_BYTES + 1)

"""Reading a request's head, and building responses."""

import pytest

from relay.transport.handshake import Request, accept_key, read_request, response, switching_protocols

HEAD = (
    b"GET /path?x=1 HTTP/1.1\r\nhost: a\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nx-colon: a: b:c\r\nsec-websocket-protocol: one, two\r\n"
    b"sec-websocket-protocol: three\r\n\r\n"
)


def test_a_head_is_read_as_it_stands() -> None:
    request = read_request(HEAD)
    assert (request.method, request.target) == (b"GET", b"/path?x=1")
    assert request.values(b"x-colon") == [b"a: b:c"]
    assert request.subprotocols == ["one", "two", "three"]


def test_the_accept_key_is_that_of_the_rfc() -> None:
    assert accept_key(read_request(HEAD)) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("name, value", [(b"X", b"a\r\nSet-Cookie: b"), (b"X\r\nY", b"a"), (b"X Y", b"a"), (b"", b"a")])
def test_a_header_cannot_break_out_of_its_line(name: bytes, value: bytes) -> None:
    with pytest.raises(ValueError, match="not a legal response header"):
        switching_protocols(b"key", None, [(name, value)])
    with pytest.raises(ValueError, match="not a legal response header"):
        response(403, [(name, value)], b"")


def test_a_subprotocol_cannot_break_out_either() -> None:
    with pytest.raises(ValueError, match="not a legal response header"):
        switching_protocols(b"key", "a\r\nb: c", [])


def test_a_response_states_its_own_length_and_end() -> None:
    raw = response(503, [(b"content-length", b"99"), (b"Connection", b"keep-alive"), (b"Date", b"now")], b"body")
    head, body = raw.split(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        *(b"HTTP/1.1 503 Service Unavailable", b"Date: now", b"Content-Type: text/plain; charset=utf-8"),
        *(b"Content-Length: 4", b"Connection: close"),
    ]
    assert body == b"body"


def test_an_unknown_status_has_no_phrase() -> None:
    assert response(599, [], b"").startswith(b"HTTP/1.1 599 \r\n")


def test_a_request_is_a_value() -> None:
    assert Request(b"GET", b"/", []) == Request(b"GET", b"/", [])

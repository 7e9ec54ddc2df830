"""What a peer with a valid secret sends to exhaust this region: the bound is reached before the memory is taken."""

import re
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from relay.protocol.errors import Invalid
from relay.protocol.limits import Limits
from replication import wire
from replication.answers import MAX_EVENTS, Unreadable, decode_events, decode_status, decode_taken
from replication.client import PeerClient, PeerError, printable
from replication.models import Region
from replication.receive.events import _event
from replication.reconcile.messages import (
    MOST_MESSAGE_BYTES,
    Compare,
    Part,
    Stage,
    decode_fetch_answer,
    encode,
    window_of,
)
from replication.reconcile.responder import Responder
from replication.reconcile.scope import MAX_AUTHORS, Floor, Scope
from tests.events import sign_event

BOMB = b"[" + b"0," * 4_000_000 + b"0]"


def memory_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda: decode_events(BOMB), id="request"),
        pytest.param(lambda: decode_fetch_answer(b'{"asked":1,"events":' + BOMB + b"}"), id="answer"),
    ],
)
def test_millions_of_elements_are_refused_before_they_are_read(read: Callable[[], object]) -> None:
    before = memory_kb()
    with pytest.raises(Unreadable):
        read()
    assert memory_kb() - before < 100_000  # 360 MB if they were


def test_a_request_may_have_as_many_events_as_promised_and_no_more() -> None:
    assert decode_events(b"[" + b",".join([b"{}"] * MAX_EVENTS) + b"]") == [b"{}"] * MAX_EVENTS
    with pytest.raises(Unreadable):
        decode_events(b"[" + b",".join([b"{}"] * (MAX_EVENTS + 1)) + b"]")


@pytest.mark.parametrize("content", [b"", b"{}", b"[", b"[" * 100_000, b"[1,]"])
def test_what_is_no_list_is_unreadable(content: bytes) -> None:
    with pytest.raises(Unreadable):
        decode_events(content)


def test_an_event_that_no_client_could_send_is_refused_though_its_size_is_in_its_tags() -> None:
    event = sign_event(tags=[["t", "x" * 2_000]])
    text = msgspec.json.encode(event)
    assert _event(text, Limits()).id == event["id"]
    with pytest.raises(Invalid, match="bytes"):
        _event(text, Limits(max_message_length=1_000))


@pytest.mark.parametrize("accepts", ['{"events":-1}', '{"bytes":1e400}', '{"wait_ms":99999999999999999999}'])
def test_numbers_that_no_region_says_are_not_read(accepts: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_taken(b'{"outcomes":[],"accepts":%s}' % accepts.encode())


DEEP = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize("read", [decode_taken, decode_status])
def test_an_answer_that_is_nested_too_deeply_is_unreadable(read: Callable[[bytes], object]) -> None:
    with pytest.raises(ValueError, match="recursion"):
        read(DEEP)


def test_a_state_that_the_database_cannot_hold_is_not_read() -> None:
    status = {"region": "eu", "ready": True, "time": 1.0, "identity": "", "epoch": 1, "position": 1, "accepts": {}}
    decode_status(msgspec.json.encode(status | {"connections": 1, "capacity": 1}))
    for fault in ({"connections": 2**40}, {"position": 2**63}, {"capacity": -1}):
        with pytest.raises(msgspec.MsgspecError):
            decode_status(msgspec.json.encode(status | {"connections": 1, "capacity": 1} | fault))


def test_what_a_peer_says_is_one_line_without_control_characters() -> None:
    assert printable("no\x00\r\nERROR forged \x1b[31m\n") == "no   ERROR forged  [31m"


@contextmanager
def answering(serve: Callable[[socket.socket], None]) -> Iterator[PeerClient]:
    """A client of a peer that answers its one connection with `serve`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65_536)
                serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        peer = Region(name="eu", endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}")
        peer.rotate("s" * 43)
        with PeerClient(peer, "us", timeout_seconds=0.5) as client:
            yield client
        thread.join(10)


def test_a_peer_that_answers_a_byte_now_and_then_does_not_hold_a_thread() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        try:
            for _ in range(100):
                connection.sendall(b" ")
                time.sleep(0.1)
        except OSError:
            return

    with answering(drip) as client, pytest.raises(PeerError, match="timed out"):
        client.get(wire.STATUS_PATH)


def test_a_connection_that_took_all_the_time_for_an_answer_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """There would be nothing left that ends the request."""
    connect, received = socket.create_connection, list[bytes]()

    def slow(*given: Any, **also: Any) -> socket.socket:
        time.sleep(0.2)
        return connect(*given, **also)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection:
                received.append(connection.recv(65_536))

        thread = threading.Thread(target=serve)
        thread.start()
        peer = Region(name="eu", endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}")
        peer.rotate("s" * 43)
        monkeypatch.setattr(socket, "create_connection", slow)
        with PeerClient(peer, "us", timeout_seconds=0.1) as client, pytest.raises(PeerError, match="timed out"):
            client.get(wire.STATUS_PATH)
        thread.join(10)
    assert received == [b""]


def test_a_request_that_is_repeated_has_a_nonce_of_its_own() -> None:
    """The peer may have read the first one before it closed the kept connection."""
    heads: list[bytes] = []
    ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as first:
                heads.append(first.recv(65_536))
                first.sendall(ok)
                heads.append(first.recv(65_536))
            with listener.accept()[0] as second:
                heads.append(second.recv(65_536))
                second.sendall(ok)

        thread = threading.Thread(target=serve)
        thread.start()
        peer = Region(name="eu", endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}")
        peer.rotate("s" * 43)
        with PeerClient(peer, "us", timeout_seconds=5) as client:
            client.get(wire.STATUS_PATH)
            client.get(wire.STATUS_PATH)
        thread.join(10)
    found = [re.search(rb"(?i)x-relay-nonce: (\w+)", head) for head in heads]
    assert len({each[1] for each in found if each}) == 3


def test_what_a_network_that_was_cut_does_not_acknowledge_is_given_up_soon() -> None:
    options: list[int] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    with answering(serve) as client:
        client.get(wire.STATUS_PATH)
        assert client._connection is not None
        options.append(client._connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
        assert client._connection.sock.gettimeout() == 0.5
    assert options == [500]


def test_an_endless_answer_is_cut_at_the_bound_of_its_address() -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(wire.ANSWER_BYTES[wire.STATUS_PATH] + 1))

    with answering(flood) as client, pytest.raises(PeerError, match="more than"):
        client.get(wire.STATUS_PATH)


def test_answers_are_trusted_only_from_who_has_the_certificate_of_a_trusted_peer() -> None:
    assert Region(trusted=True, endpoint="https://eu.relay.example.com").trusts_answers
    assert not Region(trusted=True, endpoint="http://eu.relay.example.com").trusts_answers
    assert not Region(trusted=False, endpoint="https://eu.relay.example.com").trusts_answers


@pytest.mark.parametrize(
    "scope",
    [
        Scope(kinds=(1,) * 70_000),
        Scope(authors=("0" * 64,) * (MAX_AUTHORS + 1)),
        Scope(floors=(Floor(((1, 1),) * 100, 1),) * 101),
        Scope(floors=(Floor((), 1),) * 1_001),
    ],
    ids=["kinds", "authors", "spans", "floors"],
)
def test_a_scope_that_would_make_a_statement_of_megabytes_is_none(scope: Scope) -> None:
    assert not scope.is_valid


def test_a_scope_of_all_kinds_is_one() -> None:
    assert Scope(kinds=tuple(range(65_536)), floors=(Floor(((1, 1),) * 100, 1),) * 100).is_valid


def test_a_message_of_negentropy_with_ranges_without_number_is_refused_unread() -> None:
    def query(*_asked: object) -> list[tuple[object, ...]]:
        raise AssertionError("the store is not asked")

    message = b"a" + b"\x01\x00\x00" * (MOST_MESSAGE_BYTES // 3 + 1)
    content = encode(Compare(Part(Stage.EVENTS, Scope(), window_of(None, None)), message))
    with pytest.raises(Unreadable, match="too long"):
        Responder(query, 1).reconcile(content)

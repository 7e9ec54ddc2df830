"""HTTP on real sockets: bodies, deadlines, targets, and which connections are kept."""

import asyncio
import queue
import socket
from ipaddress import ip_network
from typing import Any

import pytest

from relay.transport.counters import counters
from relay.transport.http_protocol import ADDRESS_LIMIT, FULL, RelayHTTPProtocol
from relay.transport.strict_http import BODY_BYTES
from tests.integration.transport.applications import echo
from tests.integration.transport.client import HEADERS, TEXT, Client, eventually, frame, request
from tests.integration.transport.serving import Serving

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Hurried(RelayHTTPProtocol):
    REQUEST_SECONDS = 0.3
    RESPONSE_SECONDS = 0.3


class Few(RelayHTTPProtocol):
    CONNECTIONS_PER_NETWORK = 3


class FewBehindProxy(Few):
    EXEMPT = (ip_network("127.0.0.0/8"),)


class App:
    """Answers every request with its path and the length of its body, and records what it was given."""

    def __init__(self, body: bytes = b"") -> None:
        self.scopes: queue.Queue[Any] = queue.Queue()
        self.received = 0
        self._body = body

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await echo(scope, receive, send)
            return
        self.scopes.put(scope)
        while (event := await receive())["type"] == "http.request":
            self.received += len(event["body"])
            if not event["more_body"]:
                break
        else:
            return
        body = self._body or f"{scope['path']} {self.received}".encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for start in range(0, len(body), 65_536):
            more = start + 65_536 < len(body)
            await send({"type": "http.response.body", "body": body[start : start + 65_536], "more_body": more})


async def ask(port: int, sent: bytes) -> tuple[int, bytes]:
    """The status and everything until the server closes."""
    async with await Client.tcp(port) as client:
        client.send(sent)
        status, _ = await client.handshake(b"")
        return status, await client.read_to_end()


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 400000000", b"Transfer-Encoding: chunked", b"Expect: 100-continue\r\nContent-Length: 70000"],
)
async def test_a_large_body_is_refused_before_the_application_has_it(head: bytes) -> None:
    app = App()
    body = b"10000\r\n" + b"x" * 0x10000 + b"\r\n10000\r\nxx" if b"chunked" in head else b""
    with Serving(app) as serving:
        sent = b"POST /nothing HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n" + body
        assert (await ask(serving.port, sent))[0] == 413
        await eventually(lambda: serving.connections == 0)
    assert app.received <= BODY_BYTES


async def test_the_largest_body_is_taken_with_a_length_and_in_chunks() -> None:
    with Serving(App()) as serving:
        async with await Client.tcp(serving.port) as client:
            client.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % BODY_BYTES + b"x" * BODY_BYTES)
            assert (await client.handshake(b""))[0] == 200
            assert await client.reader.readexactly(8) == b"/a 65536"
            client.send(b"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            assert (await client.handshake(b""))[0] == 200
            assert await client.reader.readexactly(8) == b"/b 65541"


async def test_a_trickled_body_has_the_deadline_of_its_request() -> None:
    with Serving(App(), http=Hurried) as serving:
        async with await Client.tcp(serving.port) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")

            async def trickle() -> None:
                while True:
                    client.send(b"x")
                    await asyncio.sleep(0.02)

            trickling = asyncio.create_task(trickle())
            status, _ = await client.handshake(b"")
            trickling.cancel()
            assert status == 408
            assert b"too long" in await client.read_to_end()


async def test_a_second_request_on_the_same_connection_has_a_deadline_too() -> None:
    with Serving(App(), http=Hurried) as serving:
        async with await Client.tcp(serving.port) as client:
            assert (await client.handshake(GET))[0] == 200
            await client.reader.readexactly(3)
            client.send(b"GET / HT")
            assert (await client.handshake(b""))[0] == 408


async def test_a_client_that_does_not_read_its_response_is_cut() -> None:
    before = counters.http_refused["slow_reader"]
    with (
        Serving(App(b"x" * 20_000_000), http=Hurried) as serving,
        socket.create_connection(("127.0.0.1", serving.port), timeout=5) as client,
    ):
        client.sendall(GET)
        await eventually(lambda: counters.http_refused["slow_reader"] == before + 1)
        await eventually(lambda: serving.connections == 0)


async def test_pipelined_requests_are_answered_in_order() -> None:
    with Serving(App()) as serving:
        async with await Client.tcp(serving.port) as client:
            client.send(*(GET.replace(b"/ ", b"/%d " % number) for number in range(5)))
            for number in range(5):
                assert (await client.handshake(b""))[0] == 200
                assert await client.reader.readexactly(4) == b"/%d 0" % number


async def test_absolute_form_is_served_with_its_own_host() -> None:
    app = App()
    with Serving(app) as serving:
        async with await Client.tcp(serving.port) as client:
            assert (await client.handshake(b"GET http://b:80/c?d HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 200
    scope = app.scopes.get(timeout=5)
    assert (scope["path"], scope["query_string"]) == ("/c", b"d")
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"b:80"]


async def test_a_websocket_may_be_asked_for_in_absolute_form() -> None:
    with Serving(echo) as serving:
        async with await Client.tcp(serving.port) as client:
            assert (await client.handshake(request("http://relay.test/")))[0] == 101
            client.send(frame(TEXT, b"hello"))
            assert await client.read_text() == "hello"


@pytest.mark.parametrize(
    "line, status",
    {
        b"Transfer-Encoding: chunked\r\nContent-Length: 0": 400,
        b"Content-Length: 3\r\nContent-Length: 4": 400,
        b"X: a\r\n b": 400,
        b"X: a\nY: b": 400,
        b"X : a": 400,
        b"X: a\0b": 400,
        b"X: " + b"x" * 20_000: 431,
        b"\r\n".join([b"X: a"] * 100): 431,
        b"Content-Length: 70000": 413,
        b"Content-Length: 7": 400,
    }.items(),
)
async def test_a_handshake_follows_the_same_rules(line: bytes, status: int) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()).encode()
    with Serving(echo) as serving:
        assert (await ask(serving.port, b"GET / HTTP/1.1\r\n" + head + line + b"\r\n\r\n"))[0] == status


async def test_one_address_has_so_many_connections_of_every_kind() -> None:
    with Serving(App(), http=Few) as serving:
        silent, half, open_ = (
            await Client.tcp(serving.port),
            await Client.tcp(serving.port),
            await Client.open(serving.port),
        )
        async with silent, half, open_:
            half.send(b"GET / HT")
            for sent in (GET, request()):
                assert await ask(serving.port, sent) == (503, ADDRESS_LIMIT.encode())
            other = await Client.tcp(serving.port, local_addr=("127.0.0.2", 0))
            async with other:
                assert (await other.handshake(GET))[0] == 200
            await open_.leave()

            async def is_free() -> bool:
                async with await Client.tcp(serving.port) as client:
                    return (await client.handshake(GET))[0] == 200

            async with asyncio.timeout(10):
                while not await is_free():
                    await asyncio.sleep(0.01)


async def test_a_proxys_own_connections_are_not_bounded() -> None:
    with Serving(App(), http=FewBehindProxy) as serving:
        clients = [await Client.tcp(serving.port) for _ in range(10)]
        for client in clients:
            async with client:
                assert (await client.handshake(GET))[0] == 200


async def test_a_full_worker_cuts_the_oldest_half_request_and_nothing_else() -> None:
    before = counters.http_refused["cut_for_others"]
    with Serving(App(), limit_concurrency=4) as serving:
        open_ = await Client.open(serving.port)
        halves = []
        for _ in range(3):
            halves.append(await Client.tcp(serving.port))
            halves[-1].send(b"GET / HT")
        await eventually(lambda: serving.connections == 4)
        async with open_, await Client.tcp(serving.port) as client:
            assert (await client.handshake(GET))[0] == 200
            assert await halves[0].read_to_end() == b""
            halves[1].send(b"TP/1.1\r\nHost: a\r\n\r\n")
            assert (await halves[1].handshake(b""))[0] == 200
            open_.send(frame(TEXT, b"hello"))
            assert await open_.read_text() == "hello"
        for half in halves:
            await half.leave()
    assert counters.http_refused["cut_for_others"] == before + 1


async def test_a_worker_full_of_websockets_refuses_with_503() -> None:
    with Serving(App(), limit_concurrency=2) as serving:
        first, second = await Client.open(serving.port), await Client.open(serving.port)
        async with first, second:
            assert await ask(serving.port, GET) == (503, FULL.encode())


async def test_every_way_out_of_a_connection_is_counted() -> None:
    with Serving(App(), http=Few) as serving:
        for sent in (
            b"",
            b"GET",
            GET,
            b"BAD\r\n\r\n",
            request(),
            request(Sec_WebSocket_Key="x"),
            request(method="POST"),
        ):
            for _ in range(4):
                client = await Client.tcp(serving.port)
                client.send(sent)
                if sent not in (b"", b"GET"):
                    assert (await client.handshake(b""))[0] != 503
                await client.leave()
                await eventually(lambda: serving.connections == 0)

"""Every connection ends: silent, half, slow, dead and forgotten ones, and all at a shutdown."""

import asyncio
import queue
import select
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from relay.transport.counters import counters
from relay.transport.http_protocol import RelayHTTPProtocol
from relay.transport.listener import RECEIVE_BUFFER_BYTES, listening_sockets
from relay.transport.picows_protocol import PicowsProtocol
from tests.integration.transport.applications import Recorder, direct_echo, echo
from tests.integration.transport.client import PING, PONG, TEXT, Client, close, eventually, frame, request
from tests.integration.transport.serving import Application, Serving


class Hurried(PicowsProtocol):
    __slots__ = ()
    CLOSE_SECONDS = 0.3
    WRITE_LIMIT_BYTES = 64 * 1024 * 1024


class HurriedHTTP(RelayHTTPProtocol):
    REQUEST_SECONDS = 0.3


@pytest.mark.parametrize("app", [echo, direct_echo])
async def test_shutdown_closes_with_1012_and_lets_the_tasks_end(app: Application) -> None:
    with Serving(app) as serving:
        clients = [await Client.open(serving.port) for _ in range(20)]
        serving.begin_stop()
        for client in clients:
            assert (await client.read_close())[0] == 1012
            client.send(close(1012))
            assert await client.read_to_end() == b""
        await eventually(lambda: serving.connections == 0)


async def test_at_shutdown_on_close_may_still_send() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        direct = scope["extensions"]["relay.direct"]["socket"]
        direct.attach(lambda text: None, lambda code: direct.send_frames([b"closed %d" % code]))
        await receive()

    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            client.send(frame(PING))
            assert (await client.read_frame())[0] == PONG
            serving.begin_stop()
            assert await client.read_text() == "closed 1012"
            assert (await client.read_close())[0] == 1012


async def test_shutdown_does_not_wait_for_a_client_that_does_not_answer() -> None:
    with Serving(direct_echo, ws=Hurried) as serving:
        async with await Client.open(serving.port) as client:
            before = counters.aborted_close_deadline
            serving.begin_stop()
            assert (await client.read_close())[0] == 1012
            assert await client.read_to_end() == b""
            assert counters.aborted_close_deadline == before + 1


async def test_shutdown_refuses_what_is_not_accepted_yet() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting.put(True)
        assert (await receive())["type"] == "websocket.disconnect"

    waiting: queue.Queue[bool] = queue.Queue()
    with Serving(app) as serving:
        async with await Client.tcp(serving.port) as client:
            client.send(request())
            await asyncio.to_thread(waiting.get, timeout=10)
            serving.begin_stop()
            status, _ = await client.handshake(b"")
            assert status == 503


async def test_a_close_to_a_client_that_does_not_read_has_a_deadline() -> None:
    def script(direct: Any, text: bytes) -> None:
        direct.send_frames([b"x" * 20_000_000])
        direct.close(1000)

    app = Recorder(script)
    with Serving(app, ws=Hurried) as serving:
        async with await Client.open(serving.port) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.send(frame(TEXT, b"go"))
            await eventually(lambda: serving.connections == 0)


@pytest.mark.parametrize("answer", [b"", frame(TEXT, b"\xff")], ids=["its own close", "a broken rule"])
async def test_a_flood_after_a_close_does_not_keep_the_connection(answer: bytes) -> None:
    app = Recorder(lambda direct, text: direct.close(1000))
    with Serving(app, ws=Hurried) as serving:
        async with await Client.open(serving.port) as client:
            client.send(answer or frame(TEXT, b"close me"))
            client.send(*(frame(TEXT, b"x" * 60_000) for _ in range(200)))
            await eventually(lambda: serving.connections == 0)


async def test_a_client_that_leaves_pings_unanswered_is_dropped_after_the_second() -> None:
    with Serving(direct_echo, ws_ping_interval=0.2) as serving:
        async with await Client.open(serving.port) as client:
            assert [(await client.read_frame())[0] for _ in range(2)] == [PING, PING]
            assert (await client.read_close())[0] == 1011
            assert await client.read_to_end() == b""


@pytest.mark.parametrize("sign", [frame(PONG), frame(TEXT, b"busy")], ids=["pongs", "messages"])
async def test_a_client_that_shows_life_stays(sign: bytes) -> None:
    with Serving(Recorder(), ws_ping_interval=0.1) as serving:
        async with await Client.open(serving.port) as client:
            for _ in range(8):
                assert (await client.read_frame())[0] == PING
                client.send(sign)


async def test_pings_come_to_every_connection() -> None:
    with Serving(Recorder(), ws_ping_interval=0.2) as serving:
        clients = [await Client.open(serving.port) for _ in range(50)]
        for client in clients:
            assert (await client.read_frame())[0] == PING
            await client.leave()


@pytest.mark.parametrize(
    "before, sent, answered",
    [(b"", b"", False), (b"", request()[:40], True), (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", request()[:40], True)],
    ids=["silence", "half a head", "half a second head"],
)
async def test_a_connection_without_a_whole_head_is_dropped(before: bytes, sent: bytes, answered: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    with Serving(app, http=HurriedHTTP) as serving:
        async with await Client.tcp(serving.port) as client:
            if before:
                client.send(before)
                assert await client.reader.readuntil(b"ok")
            client.send(sent)
            end = await client.read_to_end()
            assert (b"408 Request Timeout" in end) is answered


async def test_bytes_one_by_one_do_not_extend_the_deadline() -> None:
    with Serving(echo, http=HurriedHTTP) as serving:
        async with await Client.tcp(serving.port) as client:
            dripping = asyncio.create_task(drip(client))
            await client.read_to_end()
            dripping.cancel()


async def drip(client: Client) -> None:
    for byte in request() * 10:
        client.send(bytes((byte,)))
        await asyncio.sleep(0.05)


async def test_an_open_websocket_has_no_head_deadline() -> None:
    with Serving(echo, http=HurriedHTTP) as serving:
        async with await Client.open(serving.port) as client:
            await asyncio.sleep(0.8)
            client.send(frame(TEXT, b"still here"))
            assert await client.read_text() == "still here"


async def test_what_is_sent_before_the_accept_is_bounded() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.to_thread(go_on.get, timeout=10)
        await send({"type": "websocket.accept"})
        for _ in range(100):
            last = await receive()
        await send({"type": "websocket.send", "text": last["text"][:2]})
        await receive()

    go_on: queue.Queue[bool] = queue.Queue()
    with Serving(app) as serving:
        async with await Client.tcp(serving.port) as client:
            client.send(request(), *(frame(TEXT, b"%02d" % number + b"x" * 100_000) for number in range(100)))
            left = -1
            while left != client.writer.transport.get_write_buffer_size():
                left = client.writer.transport.get_write_buffer_size()
                await asyncio.sleep(0.3)
            assert left > 4_000_000
            go_on.put(True)
            status, _ = await client.handshake(b"")
            assert (status, await client.read_text()) == (101, "99")


async def test_above_the_limit_of_connections_an_upgrade_gets_503() -> None:
    with Serving(echo, limit_concurrency=2) as serving:
        first, second = await Client.open(serving.port), await Client.open(serving.port)
        async with first, second, await Client.tcp(serving.port) as third:
            status, _ = await third.handshake(request())
            assert status == 503


async def test_accepted_sockets_have_small_receive_buffers_and_no_delay() -> None:
    options: queue.Queue[tuple[int, int]] = queue.Queue()

    class Looking(PicowsProtocol):
        __slots__ = ()

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            sock = transport.get_extra_info("socket")
            size = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            options.put((size, sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
            super().connection_made(transport)

    with Serving(echo, ws=Looking) as serving:
        async with await Client.open(serving.port):
            size, no_delay = options.get(timeout=5)
    assert size <= 2 * RECEIVE_BUFFER_BYTES  # Linux doubles it for its own needs
    assert no_delay == 1


def take(*listeners: socket.socket) -> socket.socket:
    """The connection that one of them got."""
    ready, _, _ = select.select(listeners, [], [], 5)
    accepted: socket.socket = ready[0].accept()[0]
    return accepted


@pytest.mark.parametrize(
    "host, reached",
    [("127.0.0.1",) * 2, ("*", "127.0.0.1"), ("*", "::1"), ("::1",) * 2, ("::", "::1"), ("::", "127.0.0.1")],
)
def test_the_listening_socket_serves_both_families_and_shares_its_port(host: str, reached: str) -> None:
    if ":" in host + reached and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with ExitStack() as stack:
        first = [stack.enter_context(each) for each in listening_sockets(host, 0)]
        port = first[0].getsockname()[1]
        second = [stack.enter_context(each) for each in listening_sockets(host, port)]
        for each in (*first, *second):
            assert not each.getblocking()
            each.listen()
        with socket.create_connection((reached, port), timeout=5) as client:
            accepted = stack.enter_context(take(*first, *second))
            assert accepted.getpeername()[0] == client.getsockname()[0] == reached

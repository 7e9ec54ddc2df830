"""What an ASGI application sees of the transport: scope, events, errors, back-pressure."""

import asyncio
import queue
from typing import Any

import pytest

from tests.integration.transport.applications import echo
from tests.integration.transport.client import BINARY, CLOSE, TEXT, Client, close, eventually, frame, request
from tests.integration.transport.serving import Application, Serving


async def test_the_scope_is_that_of_the_asgi_specification() -> None:
    scopes: queue.Queue[Any] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.put(scope)
        await echo(scope, receive, send)

    with Serving(app, root_path="/root") as serving:
        async with await Client.tcp(serving.port) as client:
            head = request("/a%20b?x=%31&y", Sec_WebSocket_Protocol="one, two", X_Twice="ä")
            status, _ = await client.handshake(head)
            assert status == 101
            local = client.writer.get_extra_info("sockname")
    scope = scopes.get(timeout=5)
    assert scope["type"] == "websocket"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
    assert (scope["http_version"], scope["scheme"]) == ("1.1", "ws")
    assert (scope["server"], scope["client"]) == (("127.0.0.1", serving.port), local)
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/root", "/root/a b", b"/root/a%20b")
    assert scope["query_string"] == b"x=%31&y"
    assert scope["subprotocols"] == ["one", "two"]
    assert scope["state"] == {}
    assert (b"host", b"relay.test") in scope["headers"]
    assert (b"x-twice", "ä".encode()) in scope["headers"]
    assert scope["extensions"].keys() == {"websocket.http.response", "relay.direct"}


async def test_accept_sets_headers_and_subprotocol() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"X-One", b"1"), (b"x-latin", b"\xe4")]
        await send({"type": "websocket.accept", "subprotocol": "two", "headers": headers})
        await receive()

    with Serving(app) as serving:
        async with await Client.tcp(serving.port) as client:
            status, headers = await client.handshake(request(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ=="))
    assert status == 101
    assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # the example of RFC 6455
    assert (headers["sec-websocket-protocol"], headers["x-one"], headers["x-latin"]) == ("two", "1", "ä")
    assert "date" in headers


async def test_text_and_bytes_pass_both_ways() -> None:
    with Serving(echo) as serving:
        async with await Client.open(serving.port) as client:
            client.send(frame(TEXT, "ü".encode()), frame(BINARY, b"\xff\0"))
            assert await client.read_frame() == (TEXT, "ü".encode())
            assert await client.read_frame() == (BINARY, b"\xff\0")


async def rejecting(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})
    assert (await receive())["type"] == "websocket.disconnect"


async def responding(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    start = {"status": 503, "headers": [(b"Retry-After", b"7"), (b"Content-Type", b"text/plain")]}
    await send({"type": "websocket.http.response.start", **start})
    await send({"type": "websocket.http.response.body", "body": b"come ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"back"})


async def raising(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("a fault of the application")


async def returning(scope: Any, receive: Any, send: Any) -> None:
    await receive()


@pytest.mark.parametrize(
    "app, status, body",
    [
        (rejecting, 403, b""),
        (responding, 503, b"come back"),
        (raising, 500, b"Internal Server Error"),
        (returning, 500, b"Internal Server Error"),
    ],
)
async def test_a_connection_that_is_not_accepted_gets_an_http_response(
    app: Application, status: int, body: bytes
) -> None:
    with Serving(app) as serving:
        async with await Client.tcp(serving.port) as client:
            answer, headers = await client.handshake(request())
            assert (answer, await client.read_to_end()) == (status, body)
            assert headers["content-length"] == str(len(body))
            if app is responding:
                assert headers["retry-after"] == "7"
        await eventually(lambda: serving.connections == 0)


@pytest.mark.parametrize("fault", [True, False])
async def test_an_application_that_ends_without_closing_closes_with_1011(fault: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        if fault:
            raise ValueError("a fault of the application")

    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            assert (await client.read_close())[0] == 1011


async def test_the_applications_close_sends_code_and_reason_and_ends_its_input() -> None:
    events: queue.Queue[Any] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4001, "reason": "é" * 100})
        events.put(await receive())
        for kind in ("websocket.send", "websocket.close"):
            try:
                await send({"type": kind, "text": "late"})
            except RuntimeError as error:
                events.put(error)

    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            assert await client.read_close() == (4001, "é" * 61)
            client.send(close(4001))
            assert await client.read_to_end() == b""
    assert events.get(timeout=5)["code"] == 4001
    assert isinstance(events.get(timeout=5), RuntimeError)
    assert isinstance(events.get(timeout=5), RuntimeError)


@pytest.mark.parametrize("leave, code", [(close(4002, b"bye"), 4002), (frame(CLOSE), 1005), (b"", 1006)])
async def test_the_clients_end_is_a_disconnect_and_sending_then_fails(leave: bytes, code: int) -> None:
    events: queue.Queue[Any] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        events.put(await receive())
        try:
            await send({"type": "websocket.send", "text": "too late"})
        except OSError as error:
            events.put(error)

    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            client.send(leave)
            client.writer.write_eof()
            await client.read_to_end()
    event = events.get(timeout=5)
    assert (event["type"], event["code"]) == ("websocket.disconnect", code)
    assert event["reason"] == ("bye" if code == 4002 else "")
    assert isinstance(events.get(timeout=5), OSError)


async def test_messages_before_the_clients_close_are_received_first() -> None:
    events: queue.Queue[Any] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            events.put(event["text"])
        events.put(event["code"])

    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            client.send(frame(TEXT, b"1"), frame(TEXT, b"2"), close(1000))
            await client.read_to_end()
    assert [events.get(timeout=5) for _ in range(3)] == ["1", "2", 1000]


async def test_a_client_is_stopped_while_the_application_does_not_receive() -> None:
    go_on = asyncio.Event()
    loops: queue.Queue[asyncio.AbstractEventLoop] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        loops.put(asyncio.get_running_loop())
        await go_on.wait()
        for _ in range(1000):
            last = await receive()
        await send({"type": "websocket.send", "text": last["text"][:4]})
        await receive()

    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            messages = [frame(TEXT, b"%04d" % number + b"x" * 20_000) for number in range(1000)]
            writing = client.writer.transport
            client.send(*messages)
            left = -1
            while left != writing.get_write_buffer_size():  # until nothing moves any more
                left = writing.get_write_buffer_size()
                await asyncio.sleep(0.3)
            assert left > 10_000_000, "the server read on although the application did not receive"
            loops.get(timeout=5).call_soon_threadsafe(go_on.set)
            assert await client.read_text() == "0999"


async def test_send_waits_for_a_client_that_does_not_read() -> None:
    sent: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for number in range(1000):
            await send({"type": "websocket.send", "bytes": b"x" * 100_000})
            sent.append(number)
        await send({"type": "websocket.close"})

    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            before = -1
            while before != len(sent):
                before = len(sent)
                await asyncio.sleep(0.3)
            assert 0 < before < 900
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert (await client.read_close())[0] == 1000
            assert len(sent) == 1000


async def test_send_ends_with_an_error_when_the_client_leaves_while_it_waits() -> None:
    faults: queue.Queue[Any] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 100_000})
        except OSError as error:
            faults.put(error)

    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            await client.read_frame()
        assert isinstance(await asyncio.to_thread(faults.get, timeout=10), OSError)

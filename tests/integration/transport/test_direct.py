"""The extension `relay.direct`."""

import asyncio
import contextlib
import queue
import time
from typing import Any

import pytest

from relay.transport.counters import counters
from relay.transport.direct import DirectSocket
from relay.transport.picows_protocol import PicowsProtocol
from relay.transport.receiving import receiving
from tests.integration.transport.applications import Recorder, direct_echo
from tests.integration.transport.client import BINARY, CLOSE, CONTINUATION, TEXT, Client, close, eventually, frame
from tests.integration.transport.serving import Serving


async def test_messages_and_the_end_come_to_the_callbacks_and_only_the_end_to_receive() -> None:
    app = Recorder()
    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            client.send(frame(TEXT, b"1"), frame(TEXT, b"2"), close(4000))
            await client.read_to_end()
        assert [app.next() for _ in range(5)] == [
            *(("attached", None), ("text", b"1"), ("text", b"2"), ("close", 4000), ("event", "websocket.disconnect")),
        ]


async def test_messages_that_came_before_attach_are_delivered_first_and_in_order() -> None:
    texts: queue.Queue[bytes] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while counters.messages_in < before + 300:
            await asyncio.sleep(0.01)
        scope["extensions"]["relay.direct"]["socket"].attach(texts.put, lambda code: None)
        await receive()

    before = counters.messages_in
    numbers = [b"%d" % number for number in range(400)]
    with Serving(app, ws_max_queue=1000) as serving:
        async with await Client.open(serving.port) as client:
            client.send(*(frame(TEXT, number) for number in numbers[:300]))
            await eventually(lambda: counters.messages_in >= before + 300)
            client.send(*(frame(TEXT, number) for number in numbers[300:]))
            assert [await asyncio.to_thread(texts.get, timeout=10) for _ in numbers] == numbers


async def test_many_frames_are_one_write() -> None:
    payloads = [b"a", b"b" * 200, b"c" * 70_000, b""]
    app = Recorder(lambda socket, text: socket.send_frames(payloads))
    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            before = counters.writes
            client.send(frame(TEXT, b"go"))
            assert [await client.read_frame() for _ in payloads] == [(TEXT, payload) for payload in payloads]
            assert counters.writes == before + 1


async def test_frames_keep_their_order_with_pongs_and_the_close() -> None:
    def script(socket: DirectSocket, text: bytes) -> None:
        socket.send_frames([text, b"x" * 1_000_000])
        socket.close(4000, "done")
        socket.send_frames([b"never"])

    app = Recorder(script)
    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            client.send(frame(0x9, b"1"), frame(TEXT, b"a"))
            opcodes = [(await client.read_frame())[0] for _ in range(4)]
            assert opcodes == [0xA, TEXT, TEXT, 0x8]
            client.send(close(4000))
            assert await client.read_to_end() == b""
        assert [app.next()[0] for _ in range(4)] == ["attached", "text", "close", "event"]


async def test_binary_closes_with_1003_unless_it_is_wanted() -> None:
    with Serving(Recorder()) as serving:
        async with await Client.open(serving.port) as client:
            client.send(frame(BINARY, b"a"))
            assert (await client.read_close())[0] == 1003

    async def wanting(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        socket = scope["extensions"]["relay.direct"]["socket"]
        socket.attach(lambda text: None, lambda code: None, lambda data: socket.send_frames([b"got " + data]))
        await receive()

    with Serving(wanting) as serving:
        async with await Client.open(serving.port) as client:
            client.send(frame(BINARY, b"a"))
            assert await client.read_text() == "got a"


async def test_pause_reading_holds_even_what_was_read_and_resume_goes_on_in_order() -> None:
    def script(socket: DirectSocket, text: bytes) -> None:
        if text == b"1":
            socket.pause_reading()
            asyncio.get_running_loop().call_later(0.2, again, socket)

    def again(socket: DirectSocket) -> None:
        app.calls.put(("resumed", None))
        socket.resume_reading()

    app = Recorder(script)
    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            client.send(*(frame(TEXT, b"%d" % number) for number in range(5)))
            names = [app.next() for _ in range(7)]
            assert names[1:4] == [("text", b"0"), ("text", b"1"), ("resumed", None)]
            assert names[4:] == [("text", b"2"), ("text", b"3"), ("text", b"4")]


async def test_a_paused_client_is_stopped_by_its_own_full_buffers() -> None:
    app = Recorder(lambda socket, text: socket.pause_reading())
    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            before = counters.bytes_in
            client.send(frame(TEXT, b"stop"), *(frame(TEXT, b"x" * 50_000) for _ in range(600)))
            left = -1
            while left != client.writer.transport.get_write_buffer_size():
                left = client.writer.transport.get_write_buffer_size()
                await asyncio.sleep(0.3)
            assert left > 10_000_000
            assert counters.bytes_in - before < 5_000_000


async def test_a_close_behind_held_messages_comes_after_them() -> None:
    def script(socket: DirectSocket, text: bytes) -> None:
        socket.send_frames([b"answer to " + text])
        if text == b"0":
            socket.pause_reading()

    app = Recorder(script)
    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            client.send(frame(TEXT, b"0"), frame(TEXT, b"1"), frame(TEXT, b"2"), close(1000))
            assert [await client.read_text() for _ in range(3)] == [f"answer to {number}" for number in range(3)]
            assert (await client.read_close())[0] == 1000
        assert [app.next()[0] for _ in range(5)] == ["attached", "text", "text", "text", "close"]


async def test_a_client_that_does_not_read_is_dropped_at_the_bound() -> None:
    class Bounded(PicowsProtocol):
        __slots__ = ()
        WRITE_LIMIT_BYTES = 1_000_000

    app = Recorder()
    most = 0
    with Serving(app, ws=Bounded) as serving:
        async with await Client.open(serving.port) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            assert app.next()[0] == "attached"
            before = counters.aborted_slow_readers
            while counters.aborted_slow_readers == before:
                client.send(frame(TEXT, b"more"))
                app.script = lambda socket, text: socket.send_frames([b"x" * 100_000] * 3)
                await asyncio.sleep(0.001)
                assert app.socket is not None
                most = max(most, app.socket.buffered_bytes())
            assert most < 1_500_000
            await eventually(lambda: serving.connections == 0)
        while (call := app.next())[0] == "text":
            pass
        assert call == ("close", 1006)


async def test_drained_is_called_when_the_buffer_has_emptied() -> None:
    def script(socket: DirectSocket, text: bytes) -> None:
        socket.set_drained(lambda: app.calls.put(("drained", socket.buffered_bytes())))
        socket.send_frames([b"x" * 8_000_000])
        app.calls.put(("buffered", socket.buffered_bytes()))

    app = Recorder(script)
    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.send(frame(TEXT, b"go"))
            assert [app.next()[0], app.next()[0]] == ["attached", "text"]
            name, size = await asyncio.to_thread(app.next)
            assert name == "buffered"
            assert size > 1_000_000
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            await client.read_frame()
            name, size = await asyncio.to_thread(app.next)
            assert name == "drained"
            assert size <= 16_384


async def test_abort_drops_the_connection_and_tells() -> None:
    app = Recorder(lambda socket, text: socket.abort())
    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            client.send(frame(TEXT, b"go"))
            assert await client.read_to_end() == b""
        assert [app.next() for _ in range(3)][2] == ("close", 1006)


async def test_an_exception_in_a_callback_closes_with_1011() -> None:
    app = Recorder(lambda socket, text: 1 / 0)
    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            client.send(frame(TEXT, b"go"), frame(TEXT, b"not delivered"))
            assert (await client.read_close())[0] == 1011
        assert [app.next() for _ in range(3)][1:] == [("text", b"go"), ("close", 1011)]


async def test_illegal_use_raises() -> None:
    faults: queue.Queue[type[BaseException]] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        socket = scope["extensions"]["relay.direct"]["socket"]
        await receive()
        uses: list[Any] = [
            lambda: socket.send_frames([b"a"]),
            lambda: socket.close(1000),
            lambda: socket.attach(print, print),
            lambda: socket.attach(print, print),
        ]
        for use in uses:
            try:
                use()
            except RuntimeError as fault:
                faults.put(type(fault))
        await send({"type": "websocket.accept"})
        try:
            socket.close(1006)
        except ValueError as fault:
            faults.put(type(fault))
        socket.close(1000)
        await receive()

    with Serving(app) as serving:
        async with await Client.open(serving.port) as client:
            assert (await client.read_close())[0] == 1000
    assert [faults.get(timeout=5) for _ in range(4)] == [RuntimeError] * 3 + [ValueError]


async def test_one_client_does_not_hold_the_worker() -> None:
    """A blasting client's messages cost 1 ms each; another client's echo is served between them."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        socket = scope["extensions"]["relay.direct"]["socket"]
        await receive()
        await send({"type": "websocket.accept"})
        socket.attach(lambda text: time.sleep(0.001) if text == b"slow" else socket.send_frames([text]), print)
        await receive()

    with Serving(app) as serving:
        async with await Client.open(serving.port) as blaster, await Client.open(serving.port) as other:
            before, yields = counters.messages_in, counters.yields
            blaster.send(*(frame(TEXT, b"slow") for _ in range(1500)))
            other.send(frame(TEXT, b"quick"))
            assert await other.read_text() == "quick"
            assert counters.messages_in - before < 1500
            blaster.send(frame(TEXT, b"end"))
            assert await blaster.read_text() == "end"
            # Only now: the other client may be read before the blaster's second piece has come.
            assert counters.yields > yields


@pytest.mark.parametrize("count", [1, 50])
async def test_a_big_message_does_not_keep_its_buffer(count: int) -> None:
    """After two pings the parser is a new one; messages before, between and after arrive."""
    with Serving(direct_echo, ws_ping_interval=0.2) as serving:
        async with await Client.open(serving.port) as client:
            client.send(*(frame(TEXT, b"x" * 100_000) for _ in range(count)))
            for _ in range(count):
                while (await client.read_frame())[0] != TEXT:
                    pass
            for number in range(60):
                client.send(frame(0xA), frame(TEXT, b"%d" % number))
                while (got := await client.read_frame())[0] != TEXT:
                    pass
                assert got[1] == b"%d" % number
                await asyncio.sleep(0.02)
            assert counters.buffers_shrunk > 0


@pytest.mark.parametrize("parts", [1, 40])
async def test_unfinished_messages_above_the_budget_cost_the_first_its_connection(
    monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    monkeypatch.setattr(receiving, "_limit", 1_000_000)
    size = 200_000 // parts
    rest = [frame(TEXT if number == 0 else CONTINUATION, b"x" * size, fin=False) for number in range(parts)]
    with Serving(direct_echo) as serving, contextlib.ExitStack() as stack:
        clients = [await Client.open(serving.port) for _ in range(12)]
        for client in clients:
            stack.callback(client.writer.transport.abort)
        clients[0].send(frame(TEXT, b"x" * 100_000))
        await clients[0].read_text()
        for client in clients[1:]:
            client.send(*rest) if parts > 1 else client.send(frame(TEXT, b"x" * size)[:-1])
        opcode, payload = await clients[1].read_frame()
        assert (opcode, payload[:2]) == (CLOSE, (1013).to_bytes(2, "big"))
        assert receiving.total <= 1_000_000
        clients[0].send(frame(TEXT, b"still here"))
        assert await clients[0].read_text() == "still here"
        clients[-1].send(frame(CONTINUATION, b"end") if parts > 1 else frame(TEXT, b"x" * size)[-1:])
        assert (await clients[-1].read_text()).startswith("x")
    await eventually(lambda: receiving.total == 0)


async def test_finished_messages_take_no_connection_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their buffers are given back."""
    monkeypatch.setattr(receiving, "_limit", 1_000_000)
    before = counters.buffers_shrunk
    with Serving(direct_echo) as serving, contextlib.ExitStack() as stack:
        clients = [await Client.open(serving.port) for _ in range(12)]
        for client in clients:
            stack.callback(client.writer.transport.abort)
            client.send(frame(TEXT, b"x" * 200_000))
            assert await client.read_text() == "x" * 200_000
        for client in clients:
            client.send(frame(TEXT, b"again"))
            assert await client.read_text() == "again"
    assert counters.buffers_shrunk > before

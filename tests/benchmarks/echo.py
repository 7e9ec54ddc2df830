"""The yardstick of the whole server: a bare picows server that does nothing but echo and send frames.

`python -m tests.benchmarks.echo` serves: it prints its port, answers each message, and sends `B<n>` as n frames to all.
"""

import asyncio
import subprocess
import sys
import time

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect, ws_create_server

FRAME = b'["EVENT","live",{"content":"' + b"x" * 530 + b'"}]'
PIPELINED = 16


class _Server(WSListener):
    everyone: list[WSTransport] = []  # noqa: RUF012  one server a process

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.everyone.append(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            return
        text = frame.get_payload_as_bytes()
        if text[:1] == b"B":
            self.task = asyncio.get_running_loop().create_task(_broadcast(self.everyone, int(text[1:])))
        else:
            transport.send(WSMsgType.TEXT, b'["OK"]')


async def _broadcast(everyone: list[WSTransport], count: int) -> None:
    for _ in range(count):
        for transport in everyone:
            transport.send(WSMsgType.TEXT, FRAME)
        await asyncio.sleep(0)


class _Client(WSListener):
    """Counts frames up to what is wanted; echoing, it sends one for each that comes."""

    def __init__(self) -> None:
        self.left = 0
        self.echo = False
        self.done: asyncio.Future[None] | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        frame.get_payload_as_bytes()
        self.left -= 1
        if self.echo and self.left >= PIPELINED:
            transport.send(WSMsgType.TEXT, FRAME)
        if self.left == 0 and self.done is not None:
            self.done.set_result(None)


async def _rate(clients: list[_Client], count: int, *, echo: bool) -> float:
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    for client in clients:
        client.left, client.echo, client.done = count, echo, loop.create_future()
        if echo:
            for _ in range(PIPELINED):
                client.transport.send(WSMsgType.TEXT, FRAME)
    if not echo:
        clients[0].transport.send(WSMsgType.TEXT, b"B%d" % count)
    await asyncio.wait_for(asyncio.gather(*[client.done for client in clients if client.done]), 60)
    return len(clients) * count / (time.perf_counter() - start)


async def _measure(port: int) -> tuple[float, float]:
    clients = [_Client() for _ in range(200)]
    for client in clients:
        await ws_connect(lambda client=client: client, f"ws://127.0.0.1:{port}")
    return await _rate(clients[:10], 5_000, echo=True), await _rate(clients, 500, echo=False)


def echoes_and_frames() -> tuple[float, float]:
    """Echoes a second over 10 connections, and frames a second to 200 of them, frame by frame."""
    with subprocess.Popen([sys.executable, "-m", "tests.benchmarks.echo"], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            return uvloop.run(_measure(int(server.stdout.readline())))
        finally:
            server.terminate()


async def _serve() -> None:
    server = await ws_create_server(lambda _request: _Server(), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())

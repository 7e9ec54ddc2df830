"""The channels consumer: a WebSocket on one side, a session on the other, and no Nostr rule in between.

It runs its own loop instead of channels' dispatch, which costs a thread hop for each message, and it has no
channel of its own: the process has one subscription to the bus. Where the server offers `relay.direct`
(relay.transport), messages and frames pass without a coroutine for each; on any other ASGI server the
standard events are used.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Any

from channels.consumer import AsyncConsumer

from relay.background import cancel
from relay.metrics import counters
from relay.protocol.errors import Blocked, Failed
from relay.services import process
from relay.services.connections import POLICY_VIOLATION, Connections
from relay.services.session.session import Session
from relay.transport.admission import address_of

TRY_AGAIN_LATER = 1013


class DirectWire:
    """A client behind the transport's own socket."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.send_frames = socket.send_frames
        self.buffered_bytes = socket.buffered_bytes
        self.pause_reading = socket.pause_reading
        self.resume_reading = socket.resume_reading
        self.close = socket.close
        self.cut = socket.abort


class StandardWire:
    """A client behind ASGI's `send`: a task sends the queued frames one after the other."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self.readable = asyncio.Event()
        self.readable.set()
        self.ended = asyncio.Event()
        self.on_drained: Any = None

    def send_frames(self, frames: Sequence[bytes]) -> None:
        """Queue text messages."""
        self._frames.extend(frames)
        self._bytes += sum(map(len, frames))
        self._wake.set()

    def buffered_bytes(self) -> int:
        """Bytes queued."""
        return self._bytes

    def pause_reading(self) -> None:
        """Stop calling `receive`."""
        self.readable.clear()

    def resume_reading(self) -> None:
        """Call `receive` again."""
        self.readable.set()

    def close(self, code: int, reason: str) -> None:
        """Close the connection once the queue is empty."""
        self._closing = (code, reason)
        self._wake.set()

    def cut(self) -> None:
        """Drop the queue and end the connection."""
        self._closing = (TRY_AGAIN_LATER, "too slow")
        self._frames.clear()
        self.ended.set()

    async def run(self) -> None:
        """Send frames until the connection is closed from this side."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._frames:
                frame = self._frames.popleft()
                await self._send({"type": "websocket.send", "text": frame.decode()})
                self._bytes -= len(frame)
            if self.on_drained is not None:
                self.on_drained()
            if self._closing is not None:
                await self._send_close()
                return

    async def wait_readable(self) -> None:
        """Wait until reading is not paused."""
        while not self.readable.is_set():
            await self.readable.wait()

    async def wait_ended(self) -> None:
        """Wait until the connection is closed or cut from this side."""
        await self.ended.wait()

    async def _send_close(self) -> None:
        assert self._closing is not None
        code, reason = self._closing
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
        self.ended.set()


class RelayConsumer(AsyncConsumer):  # type: ignore[misc]  # channels has no types
    """One WebSocket connection of a client."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the connection, or refuse it, until it ends."""
        await receive()  # websocket.connect
        host = (scope.get("client") or (None,))[0]
        try:
            connections = (await process.start()).connections
            network = connections.admit(host)
        except Blocked as error:
            counters.connections_refused += 1
            await _refuse(scope, send, error.message, POLICY_VIOLATION, 403)
            return
        except Failed as error:
            counters.connections_refused += 1
            await _refuse(scope, send, error.message)
            return
        try:
            await send({"type": "websocket.accept"})
            direct = scope.get("extensions", {}).get("relay.direct")
            if direct is not None:
                await _serve_directly(connections, address_of(host), direct["socket"], receive)
            else:
                await _serve(connections, address_of(host), receive, send)
        finally:
            connections.leave(network)


async def _refuse(scope: Any, send: Any, why: str, code: int = TRY_AGAIN_LATER, status: int = 503) -> None:
    """Answer with the status before the handshake if the server can, otherwise close with the code."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": code, "reason": why})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    headers += [(b"retry-after", b"10")] if status == 503 else []
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": f"{why}\n".encode()})


async def _serve_directly(connections: Connections, ip: str, socket: Any, receive: Any) -> None:
    session = connections.begin(DirectWire(socket), ip)
    try:
        socket.set_drained(session.outbox.drained)
        socket.attach(session.receive, session.closed, session.receive_binary, session.receive_too_large)
        await receive()  # websocket.disconnect: nothing else comes once attached
    finally:
        connections.end(session)


async def _serve(connections: Connections, ip: str, receive: Any, send: Any) -> None:
    """Run until one side ends the connection. An error of one of its tasks is raised, so that the server logs it."""
    wire = StandardWire(send)
    session = connections.begin(wire, ip)
    wire.on_drained = session.outbox.drained
    loop = asyncio.get_running_loop()
    works = (wire.run(), _listen(session, wire, receive), wire.wait_ended())
    tasks = [loop.create_task(work) for work in works]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        with contextlib.suppress(OSError):  # a server raises it when the client is gone
            for task in ended:
                task.result()
    finally:
        connections.end(session)
        await cancel(tasks)


async def _listen(session: Session, wire: StandardWire, receive: Any) -> None:
    while True:
        await wire.wait_readable()
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        await wire.wait_readable()  # it may have been paused while the message was on its way
        text = event.get("text")
        if text is not None:
            session.receive(text)
        else:
            session.receive_binary(event.get("bytes") or b"")

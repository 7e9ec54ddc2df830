"""The applications of these tests, one for each way to use the transport."""

import queue
from typing import Any

from relay.transport.direct import DirectSocket


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """By receive() and send()."""
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


async def direct_echo(scope: Any, receive: Any, send: Any) -> None:
    """By the extension."""
    socket = scope["extensions"]["relay.direct"]["socket"]
    await receive()
    await send({"type": "websocket.accept"})
    socket.attach(lambda text: socket.send_frames([text]), lambda code: None)
    await receive()


class Recorder:
    """An attached application that records what it is given, and hands its socket to the test's `script`."""

    def __init__(self, script: Any = None) -> None:
        self.calls: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.socket: DirectSocket | None = None
        self.script = script

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.socket = socket = scope["extensions"]["relay.direct"]["socket"]
        await receive()
        await send({"type": "websocket.accept"})
        socket.attach(self.on_text, lambda code: self.calls.put(("close", code)))
        self.calls.put(("attached", None))
        self.calls.put(("event", (await receive())["type"]))

    def on_text(self, text: bytes) -> None:
        self.calls.put(("text", text))
        if self.script is not None:
            self.script(self.socket, text)

    def next(self) -> tuple[str, Any]:
        return self.calls.get(timeout=10)

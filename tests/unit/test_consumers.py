"""A connection over a server without `relay.direct`: it ends in order, and nothing goes wrong in silence."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from relay import consumers


class Outbox:
    def drained(self) -> None: ...


class Session:
    """Answers each message with itself."""

    def __init__(self, wire: consumers.StandardWire) -> None:
        self.wire = wire
        self.outbox = Outbox()

    def receive(self, text: str) -> None:
        if text == "fault":
            raise RuntimeError("a fault of the session")
        self.wire.send_frames([text.encode()])


class Connections:
    def __init__(self) -> None:
        self.ended = 0

    def begin(self, wire: consumers.StandardWire, ip: str) -> Session:
        return Session(wire)

    def end(self, session: Session) -> None:
        self.ended += 1


async def serve(connections: Any, send: Callable[[Any], Awaitable[None]], *messages: Any) -> None:
    """A connection on which the client says `messages` and then waits."""
    said = list(messages)

    async def receive() -> Any:
        if said:
            return said.pop(0)
        return await asyncio.Event().wait()

    async with asyncio.timeout(5):
        await consumers._serve(connections, "127.0.0.1", receive, send)


def text(said: str) -> dict[str, str]:
    return {"type": "websocket.receive", "text": said}


async def test_a_client_that_goes_ends_its_session() -> None:
    connections, sent = Connections(), list[str]()

    async def send(message: Any) -> None:
        sent.append(message["text"])

    await serve(connections, send, text("a"), {"type": "websocket.disconnect"})
    assert connections.ended == 1


async def test_a_message_that_was_on_its_way_waits_while_reading_is_paused() -> None:
    heard: list[str] = []
    asked = asyncio.Event()
    events = [text("a"), {"type": "websocket.disconnect"}]

    class Listener(Session):
        def receive(self, text: str) -> None:
            heard.append(text)

    async def send(message: Any) -> None:
        """Nothing is sent."""

    async def receive() -> Any:
        if not heard:
            wire.pause_reading()
            asked.set()
        return events.pop(0)

    wire = consumers.StandardWire(send)
    listening = asyncio.create_task(consumers._listen(cast(Any, Listener(wire)), wire, receive))
    await asked.wait()
    await asyncio.sleep(0)
    assert heard == []
    wire.resume_reading()
    await listening
    assert heard == ["a"]


async def test_a_server_error_for_a_gone_client_ends_its_session_without_a_log_line() -> None:
    connections = Connections()

    async def send(message: Any) -> None:
        raise ConnectionResetError

    await serve(connections, send, text("a"))
    assert connections.ended == 1


@pytest.mark.parametrize("said", ["a", "fault"], ids=["sending", "receiving"])
async def test_a_fault_ends_the_session_and_reaches_the_server(said: str) -> None:
    connections = Connections()

    async def send(message: Any) -> None:
        raise RuntimeError("a fault of the server")

    with pytest.raises(RuntimeError, match="a fault of the"):
        await serve(connections, send, text(said))
    assert connections.ended == 1
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

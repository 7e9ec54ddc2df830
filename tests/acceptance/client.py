"""A small Nostr client for tests, over the websockets library: it says what is sent and shows what comes back.

    async with Client(relay.ws_url) as client:
        answer = await client.publish(event)              # Ok(event_id, accepted, text)
        found = await client.request("sub", {"kinds": [1]})  # Stored(events, closed), after EOSE or CLOSED
        event = await client.live("sub")                  # the next live event of a subscription

Every wait has a limit. A message that answers no request is kept in `unread`, in the order of arrival.
"""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.acceptance.author import Author
from tests.events import sign_event

Json = dict[str, Any]
Message = list[Any]

SECONDS = 10.0
"""How long an answer may take on a machine that is busy with other tests."""

_barriers = itertools.count(1)


class Ok(NamedTuple):
    """`["OK", event_id, accepted, text]`."""

    event_id: str
    accepted: bool
    text: str


@dataclass
class Stored:
    """What came for a REQ: the events before EOSE, or, with `closed`, before CLOSED and its text."""

    events: list[Json] = field(default_factory=list)
    closed: str | None = None

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]


class Client:
    """One connection. `unread` holds the messages that came and were not asked for.

    Kept apart: `challenges`, of the AUTH messages that came, and `hints`, the third element of each EOSE (NIP-67).
    """

    def __init__(self, url: str, **options: Any) -> None:
        self.unread: list[Message] = []
        self.challenges: list[str] = []
        self.hints: dict[str, list[str]] = {}
        self._url = url
        self._connecting = connect(url, **{"max_size": 2**26, "max_queue": None, "compression": None, **options})
        self._socket: ClientConnection | None = None

    async def __aenter__(self) -> Self:
        self._socket = await self._connecting
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.socket.close()

    @property
    def socket(self) -> ClientConnection:
        """The connection of the library, for what only it can do."""
        assert self._socket is not None, "use it in `async with`"
        return self._socket

    # -- sending ------------------------------------------------------------------------------------

    async def send(self, *message: Any) -> None:
        """A message as JSON: `send("REQ", "sub", {})`."""
        await self.socket.send(json.dumps(message, ensure_ascii=False))

    async def send_raw(self, frame: str | bytes) -> None:
        """A text frame with just this text; bytes go as a text frame too, valid UTF-8 or not."""
        await self.socket.send(frame, text=True)

    # -- receiving ----------------------------------------------------------------------------------

    async def receive(self, wanted: Callable[[Message], bool], seconds: float = SECONDS) -> Message:
        """The first message that is wanted, unread or still to come. TimeoutError when it does not come in time."""
        for place, message in enumerate(self.unread):
            if wanted(message):
                return self.unread.pop(place)
        async with asyncio.timeout(seconds):
            while True:
                message = await self._next()
                if wanted(message):
                    return message
                self.unread.append(message)

    async def next(self, seconds: float = SECONDS) -> Message:
        """The next message, whatever it is."""
        return await self.receive(lambda _: True, seconds)

    async def _next(self) -> Message:
        while (message := await self._read()) is None:
            pass
        return message

    async def _read(self) -> Message | None:
        """The next message without a hint; None for a challenge."""
        frame = await self.socket.recv()
        assert isinstance(frame, str), "a relay sends text frames"
        message = json.loads(frame)
        assert isinstance(message, list), message
        if message[0] == "AUTH":
            self.challenges.append(message[1])
            return None
        if message[0] == "EOSE":
            self.hints[message[1]] = message[2] if len(message) > 2 else []
            return message[:2]
        return message

    @property
    def port(self) -> int:
        """The relay's port."""
        return int(self._url.rpartition(":")[2])

    async def log_in(self, *authors: Author, url: str | None = None) -> list[Ok]:
        """Prove the keys of authors (NIP-42) to the relay, which calls itself `url`."""
        async with asyncio.timeout(SECONDS):
            while not self.challenges:
                message = await self._read()
                self.unread += [] if message is None else [message]
        tags = [["relay", url or self._url], ["challenge", self.challenges[-1]]]
        answers = []
        for author in authors:
            login = author.event(kind=22_242, tags=tags)
            await self.send("AUTH", login)
            answers.append(await self.answer_to(login["id"]))
        return answers

    async def settled(self) -> list[Message]:
        """All that came and was not read yet, when every event that was sent before has its OK and is delivered here.

        A relay takes messages in order (01-E22), so a REQ is answered after the events before it. Queries run side
        by side: wait for those with `stored` first.
        """
        barrier = f"settled {next(_barriers)}"
        await self.send("REQ", barrier, {"limit": 0})
        await self.receive(lambda message: message == ["EOSE", barrier])
        await self.send("CLOSE", barrier)
        came = [message for message in self.unread if message[:2] != ["EVENT", barrier]]
        self.unread = []
        return came

    async def closed(self, seconds: float = SECONDS) -> int | None:
        """Wait for the relay to end the connection, keeping what comes; the close code, 1006 without a close frame."""
        async with asyncio.timeout(seconds):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    self.unread.append(await self._next())
            await self.socket.wait_closed()
        return self.socket.close_code

    # -- the protocol -------------------------------------------------------------------------------

    async def publish(self, event: Json) -> Ok:
        """Send an event and wait for its OK."""
        await self.send("EVENT", event)
        return await self.answer_to(event["id"])

    async def answer_to(self, event_id: str) -> Ok:
        """The next OK for an event, which must have four elements of the right types (01-E01)."""
        message = await self.receive(lambda message: message[:2] == ["OK", event_id])
        assert [type(part) for part in message] == [str, str, bool, str], message
        return Ok(*message[1:])

    async def publish_all(self, *events: Json) -> None:
        """Publish events, each of which must be accepted, with all of them on the way at once."""
        for event in events:
            await self.send("EVENT", event)
        for event in events:
            answer = await self.answer_to(event["id"])
            assert answer.accepted, answer

    async def request(self, subscription_id: str, *filters: Any) -> Stored:
        """Send a REQ and collect what is stored; the subscription stays open."""
        await self.send("REQ", subscription_id, *filters)
        return await self.stored(subscription_id)

    async def stored(self, subscription_id: str) -> Stored:
        """What comes for a subscription until EOSE or CLOSED."""
        found = Stored()
        while True:
            name, _, *rest = await self.receive(
                lambda m: m[0] in ("EVENT", "EOSE", "CLOSED") and m[1] == subscription_id
            )
            if name == "EVENT":
                found.events.append(rest[0])
                continue
            if name == "CLOSED":
                found.closed = rest[0]
            return found

    async def query(self, *filters: Any) -> Stored:
        """What is stored for the filters, in a subscription that is closed again."""
        subscription_id = f"query {next(_barriers)}"
        found = await self.request(subscription_id, *filters)
        await self.send("CLOSE", subscription_id)
        return found

    async def live(self, subscription_id: str, seconds: float = SECONDS) -> Json:
        """The next event of a subscription."""
        message = await self.receive(lambda message: message[:2] == ["EVENT", subscription_id], seconds)
        event: Json = message[2]
        return event

    async def notice(self) -> str:
        """The text of the next NOTICE."""
        message = await self.receive(lambda message: message[0] == "NOTICE")
        assert len(message) == 2, message
        return str(message[1])


async def assert_reaches_all(clients: Sequence[Client]) -> None:
    """A note that the first of these clients publishes comes live to all of them."""
    for client in clients:
        await client.request("all", {"kinds": [1]})
    event = sign_event(content="to all")
    assert (await clients[0].publish(event)).accepted
    for client in clients:
        assert (await client.live("all"))["id"] == event["id"]

"""What the tables of leaks have in common: events that are not public, who asks, and what is asked (X-5)."""

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from tests.acceptance.author import Author
from tests.acceptance.client import Client, Message
from tests.acceptance.relay_process import RelayProcess
from tests.oracle import naive_readable

Json = dict[str, Any]

SETTINGS = {
    "RELAY_PRIVATE_DRAFTS": "true",
    "RELAY_AUTH_TO_READ": "1984,20078",
    "RELAY_METRICS_TOKEN": "leak-table-of-the-tests",
    "RELAY_RING_BYTES": "1048576",
    "RELAY_MAX_CONTENT_LENGTH": "400000",
}
COPIES = {"window": "67108864", "pages": "0"}
"""Bytes of the window: which copies answer, each worker's window, or pages of the workers and of the shared cache."""
FOR_LOGINS = (1_984, 20_078)
STORED = [4, 1_059, 31_234, 1_234, 10_013, 1_984]
EPHEMERAL = [21_059, 20_078]
READERS = ["anonymous", "stranger", "author", "recipient", "second recipient", "stranger and recipient"]


class Listener(Client):
    """A client that keeps all it hears, and knows the keys that it has proved."""

    def __init__(self, url: str, keys: list[Author], **options: Any) -> None:
        super().__init__(url, **options)
        self.people = keys
        self.heard: list[str] = []

    @property
    def keys(self) -> list[str]:
        return [person.pubkey for person in self.people]

    async def _read(self) -> Message | None:
        message = await super()._read()
        if message is not None and message[0] != "OK":
            self.heard.append(json.dumps(message))
        return message

    def login_of(self, author: Author) -> Json:
        """What proves the key of an author on this connection, once the challenge has come."""
        return author.event(kind=22_242, tags=[["relay", self._url], ["challenge", self.challenges[-1]]])

    def has_heard(self, event: Json) -> bool:
        return any(event[part] in text for text in self.heard for part in ("id", "sig", "content"))


class Story:
    """A private event between `author` and two recipients, and public notes that any client finds beside it."""

    def __init__(self, kind: int) -> None:
        self.people = {name: Author() for name in ("author", "recipient", "second recipient", "stranger")}
        author, recipient, second = list(self.people.values())[:3]
        self.kind = kind
        self.topic = author.pubkey[:20]
        self.recipients = [recipient.pubkey, second.pubkey]
        self.plain_topic = author.pubkey[20:40]
        tags = [["p", recipient.pubkey], ["p", second.pubkey], ["d", self.topic], ["t", self.topic]]
        self.secret = author.event(f"secret {self.topic}", kind=kind, tags=tags, at=1_000)
        self.notes = [author.event(f"note {at}", tags=tags, at=at) for at in (999, 1_001)]
        self.plain = [author.event(f"plain {at}", tags=[["t", self.plain_topic]], at=at) for at in (999, 1_001)]

    @property
    def all(self) -> list[Json]:
        return [self.secret, *self.notes, *self.plain]

    def keys_of(self, reader: str) -> list[Author]:
        return [self.people[name] for name in reader.split(" and ") if name in self.people]

    def may_read(self, listener: Listener) -> bool:
        return naive_readable(self.secret, listener.keys, True, FOR_LOGINS)


QUESTIONS: dict[str, Callable[[Story], list[Json]]] = {
    "id": lambda s: [{"ids": [s.secret["id"]]}],
    "ids": lambda s: [{"ids": [event["id"] for event in s.all]}],
    "author": lambda s: [{"authors": [s.secret["pubkey"]]}],
    "author and kind": lambda s: [{"authors": [s.secret["pubkey"]], "kinds": [s.kind]}],
    "kind": lambda s: [{"kinds": [s.kind]}],
    "kind beside a public one": lambda s: [{"kinds": [s.kind, 1], "#t": [s.topic]}],
    "recipient": lambda s: [{"#p": [s.people["recipient"].pubkey]}],
    "recipients and kind": lambda s: [{"#p": s.recipients, "kinds": [s.kind]}],
    "topic": lambda s: [{"#t": [s.topic]}],
    "topic and place": lambda s: [{"#t": [s.topic], "#d": [s.topic]}],
    "everything": lambda s: [{}],
    "one second": lambda s: [{"since": 1_000, "until": 1_000}],
    "limit": lambda s: [{"authors": [s.secret["pubkey"]], "limit": 2}],
    "several filters": lambda s: [{"kinds": [s.kind]}, {"#t": [s.topic], "limit": 1}, {"ids": [s.secret["id"]]}],
}


async def readers_of(story: Story, relay: RelayProcess, stack: AsyncExitStack) -> list[Listener]:
    """One connection for each kind of reader, logged in with its keys."""
    found = [Listener(relay.ws_url, story.keys_of(reader)) for reader in READERS]
    for listener in found:
        await stack.enter_async_context(listener)
    await asyncio.gather(*[listener.log_in(*listener.people) for listener in found if listener.people])
    return found


def narrow_socket(port: int) -> socket.socket:
    """A connection to the loopback interface whose reader holds 64 KiB: with `max_queue=1` a client that does not read
    stops the relay soon.
    """
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    narrow.connect(("127.0.0.1", port))
    return narrow

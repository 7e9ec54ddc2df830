"""Clients in memory: a session of a real relay over a wire that records, without sockets."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from relay.services.runtime import Relay

Json = dict[str, Any]


class Client:
    """One connection. `messages` holds all that the relay has sent, decoded; `hints` the third element of each EOSE."""

    def __init__(self, relay: Relay) -> None:
        self.messages: list[list[Any]] = []
        self.hints: dict[str, list[Any]] = {}
        self.ended: list[str] = []
        self._news = asyncio.Event()
        self._relay = relay
        self.session = relay.connections.begin(self, "127.0.0.1")

    def send_frames(self, frames: Sequence[bytes]) -> None:
        for message in map(orjson.loads, frames):
            if message[0] == "AUTH":
                continue
            if message[0] == "EOSE":
                self.hints[message[1]] = message[2:]
                del message[2:]
            self.messages.append(message)
        self._news.set()

    def buffered_bytes(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Nothing more is sent before the answers by any test here."""

    def resume_reading(self) -> None:
        """See pause_reading."""

    def close(self, code: int, reason: str) -> None:
        self.ended.append(f"{code} {reason}")
        self._news.set()

    def cut(self) -> None:
        self.ended.append("cut")
        self._news.set()

    def say(self, *message: Any) -> None:
        self.session.receive(orjson.dumps(message))

    async def until(self, done: Callable[[], bool], seconds: float = 8.0) -> None:
        """Wait until what the relay sends makes `done` true; raises TimeoutError when it does not in time."""
        async with asyncio.timeout(seconds):
            while not done():
                self._news.clear()
                await self._news.wait()

    async def publish(self, event: Json) -> None:
        """Publish an event and wait for its OK, which must be true."""
        self.say("EVENT", event)
        await self.until(lambda: any(m[:2] == ["OK", event["id"]] for m in self.messages))
        assert ["OK", event["id"], True, ""] in self.messages

    def stored(self, subscription: str) -> list[str]:
        """The ids that came before EOSE."""
        return self._ids(subscription, self.messages[: self._end(subscription)])

    def live(self, subscription: str) -> list[str]:
        """The ids that came after EOSE."""
        return self._ids(subscription, self.messages[self._end(subscription) :])

    def has_eose(self, subscription: str) -> bool:
        return ["EOSE", subscription] in self.messages

    def _end(self, subscription: str) -> int:
        return self.messages.index(["EOSE", subscription]) if self.has_eose(subscription) else len(self.messages)

    @staticmethod
    def _ids(subscription: str, messages: Sequence[list[Any]]) -> list[str]:
        return [message[2]["id"] for message in messages if message[:2] == ["EVENT", subscription]]

    def leave(self) -> None:
        self._relay.connections.end(self.session)

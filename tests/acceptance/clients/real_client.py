"""What the tests ask of a client library, whichever it is. Events and filters are as on the wire."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

Json = dict[str, Any]


class Refused(Exception):
    """The relay did not take the event; the text is the relay's, as the library reports it."""


class RealClient(Protocol):
    """A connected client with one identity of its own. Every wait has a limit."""

    @property
    def pubkey(self) -> str:
        """The author of what it publishes."""

    async def publish(
        self, *, kind: int = 1, content: str = "", tags: Sequence[Sequence[str]] = (), created_at: int | None = None
    ) -> Json:
        """Sign and publish an event; returned once the relay has said OK true. Raises Refused."""

    async def log_in(self) -> None:
        """Prove its key to the relay (NIP-42)."""

    async def wrap(self, recipient: str, text: str) -> Json:
        """Publish a private message in a gift wrap (NIP-59). Raises Refused."""

    async def unwrap(self, wrap: Json) -> str:
        """The text of a gift wrap for this client."""

    async def query(self, filter: Json) -> list[Json]:
        """What is stored, newest first."""

    async def follow(self, filter: Json) -> "asyncio.Queue[Json]":
        """Open a subscription, return after EOSE; stored and live events come into the queue as they arrive."""

    async def close(self) -> None:
        """End the connection."""

"""The regions as a worker knows them: read from the primary every few seconds, and when a request is not signed."""

import asyncio
import logging
import time

import orjson
import psycopg
from msgspec import Struct

from relay.protocol.errors import Failed
from relay.storage.channel import integer
from relay.storage.primary import Primary
from replication.sealing import Unreadable, unseal
from replication.statements import statement

log = logging.getLogger("relay.replication")

REFRESH_SECONDS = 5.0
"""How long at most a peer that was removed, or a secret that has ended, is still accepted."""
HURRY_SECONDS = 1.0
"""The least time between two reads of the table for requests that no known peer has signed."""


class Peer(Struct, frozen=True):
    """A region that may send. `previous_until`: when the second secret ends, in Unix seconds."""

    origin: int
    name: str
    trusted: bool
    secret: str
    previous: str
    previous_until: int

    def secrets(self, now: int) -> tuple[str, ...]:
        """The valid ones; none if the region has none."""
        both = (self.secret, self.previous if now < self.previous_until else "")
        return tuple(secret for secret in both if secret)


class RegionTable:
    """All regions. `local` is the name of this one, "" where regions are not used."""

    def __init__(self, primary: Primary) -> None:
        self.local = ""
        self.urls: tuple[str, ...] = ()
        """The relay addresses of all regions: together they are one relay."""
        self._primary = primary
        self._peers: dict[str, Peer] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self._complained = False

    def find(self, name: str) -> Peer | None:
        """The enabled peer of that name."""
        return self._peers.get(name)

    async def hurry(self) -> bool:
        """Read the table again, if that may tell something new; whether it was read. Requests of strangers may
        call it at any rate: those that come during a read wait for that one.
        """
        if self._reading.locked():
            async with self._reading:
                return True
        if time.monotonic() - self._read_at < HURRY_SECONDS:
            return False
        await self.read()
        return True

    async def read(self) -> None:
        """Read the table. While the database does not answer, what was read before counts."""
        async with self._reading:
            await self._read()
            self._read_at = time.monotonic()

    async def _read(self) -> None:
        try:
            rows = await self._primary.rows(statement("regions"))
        except (Failed, psycopg.Error) as error:  # it may not be there before a migration
            log.debug("the table of regions was not read: %s", error)
            return
        peers, urls, local = {}, [], ""
        for origin, name, is_local, enabled, trusted, secret, previous, until, of_region in rows:
            text = (name or b"").decode()
            if is_local == b"\x01":
                local = text
            if enabled == b"\x01":
                urls += orjson.loads(of_region or b"[]")
                if is_local != b"\x01":
                    peers[text] = Peer(
                        integer(origin),
                        text,
                        trusted == b"\x01",
                        self._unsealed(text, secret),
                        self._unsealed(text, previous),
                        integer(until),
                    )
        self._peers, self.urls, self.local = peers, tuple(urls), local

    def _unsealed(self, name: str, sealed: bytes | None) -> str:
        try:
            return unseal((sealed or b"").decode())
        except Unreadable as error:
            if not self._complained:
                self._complained = True
                log.error("the secret of region %s cannot be used: %s; enter it again", name, error.__doc__)
            return ""

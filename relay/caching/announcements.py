"""What this process has acknowledged, told to all others before the OK goes out.

Rule: a writer that cannot store its number says so in the database and holds its OKs back until no process can be left
that has not read it: each trusts the cache only for LEASE_SECONDS after the start of its last look at the database.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from functools import partial
from time import monotonic

from relay.caching.chores import Chores
from relay.caching.newest_number import MEMBER, NewestNumber, number_in
from relay.caching.shared import Reply
from relay.protocol.errors import Failed
from relay.storage.log import stand_announced, stand_unannounced
from relay.storage.reads import Reads

log = logging.getLogger("relay.barrier")

LEASE_SECONDS = 0.3
HOLD_SECONDS = LEASE_SECONDS + 0.05
NOTE_SECONDS = 10
"""How long the note of a process that cannot announce stands in the database; it is renewed long before."""

RENEW_SECONDS = 3.0
RETRY_SECONDS = 0.1
PROBE_SECONDS = 0.25


class Announcements:
    """The writing side of the barrier. `held` counts OKs that had to wait for a cache that could not be told."""

    def __init__(self, number: NewestNumber, reads: Reads, chores: Chores) -> None:
        self.held = 0
        self._number = number
        self._reads = reads
        self._chores = chores
        self._highest = 0
        self._holding: list[Callable[[], None]] | None = None
        self._free_from = 0.0
        self._free_until = 0.0

    def begin_anew(self) -> None:
        """Forget every number: another epoch has begun."""
        self._highest = 0

    def announce(self, position: int, then: Callable[[], None]) -> None:
        """Call `then`, perhaps at once, when every process can know that the order has come to `position`."""
        shared = self._number.shared
        if shared is None or position <= self._number.stored:
            then()
            return
        self._highest = max(self._highest, position)
        if self._holding is not None:
            self._hold(then)
            return
        key = self._number.key
        shared.send(
            key, (b"ZADD", key, b"XX", b"GT", b"CH", position, MEMBER), partial(self._announced, key, position, then)
        )

    def _announced(self, key: bytes, position: int, then: Callable[[], None], reply: Reply) -> None:
        if reply == 1:
            self._number.is_stored(key, position)
            then()
        elif reply == 0 and self._number.shared is not None:  # somebody else's is higher, or there is none
            self._number.shared.send(key, (b"ZSCORE", key, MEMBER), partial(self._compared, key, position, then))
        else:
            self._compared(key, position, then, reply)

    def _compared(self, key: bytes, position: int, then: Callable[[], None], reply: Reply) -> None:
        number = number_in(reply)
        if number is not None and number >= position:
            self._number.is_stored(key, position)
            then()
            return
        if self._holding is None:
            self._holding = []
            self._free_from = self._free_until = 0.0  # at once: what was free before this is not now
            self._chores.begin(self._stand_apart(), "relay barrier apart")
        self._hold(then)

    def _hold(self, then: Callable[[], None]) -> None:
        assert self._holding is not None
        if self._free_from <= monotonic() < self._free_until:
            then()
        else:
            self.held += 1
            self._holding.append(then)

    async def _stand_apart(self) -> None:
        """Until the cache can be told again: note it in the database, let OKs go once everybody must have read it."""
        name = secrets.token_hex(8)  # another one each time: the end of this note must not take away the next one
        noted: float | None = None
        while not await self._store():
            now = monotonic()
            if noted is None or now - noted > RENEW_SECONDS:
                try:
                    await stand_unannounced(self._reads, name, NOTE_SECONDS)
                except Failed:
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                if noted is None:
                    log.warning("the cache cannot be told what was stored; OKs wait until all processes know")
                if now >= self._free_until:
                    self._free_from = monotonic() + HOLD_SECONDS
                noted = now
                self._free_until = now + NOTE_SECONDS - 2 * RENEW_SECONDS / 3
            await asyncio.sleep(min(PROBE_SECONDS, max(0.0, self._free_from - monotonic())) or PROBE_SECONDS)
            if self._free_from <= monotonic() < self._free_until:
                self._let_go([])
        self._let_go(None)
        if noted is not None:
            log.warning("the cache is told again what was stored")
            with contextlib.suppress(Failed):  # it ends by itself
                await stand_announced(self._reads, name)

    def _let_go(self, held_next: list[Callable[[], None]] | None) -> None:
        held, self._holding = self._holding or [], held_next
        for then in held:
            try:
                then()
            except Exception:  # the others have nothing to do with it
                log.exception("an OK was not given")

    async def _store(self) -> bool:
        """True when the cache holds all that this process was to announce, at the moment of the return."""
        while True:
            number = await self._number.make()
            if number is None:
                return False
            if number >= self._highest:
                return True

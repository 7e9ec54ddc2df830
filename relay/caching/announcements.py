"""What this process has acknowledged, told to all others before the OK goes out: by memory on this machine, by the
shared cache elsewhere.

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

from relay.caching.board import Board
from relay.caching.chores import Chores
from relay.caching.newest_number import MEMBER, NewestNumber, number_in
from relay.caching.shared import Reply
from relay.caching.sole import HOLD_SECONDS, Sole
from relay.protocol.errors import Failed
from relay.storage.log import stand_announced, stand_unannounced
from relay.storage.reads import Reads
from relay.storage.sole import Claim

log = logging.getLogger("relay.barrier")

NOTE_SECONDS = 10
"""How long the note of a process that cannot announce stands in the database; it is renewed long before."""

RENEW_SECONDS = 3.0
RETRY_SECONDS = 0.1
PROBE_SECONDS = 0.25
STORES = 3
"""So often in a row the number is made anew, while others commit meanwhile, before that counts as a failure."""

GIVE_UP_SECONDS = 10.0
"""An OK that can be given to nobody for so long is a failure: the client tries again, and finds that it was stored."""

Then = Callable[[bool], None]


class Announcements:
    """The writing side of the barrier.

    Counts of batches whose OKs waited: `held` until all processes know that the cache cannot be told, of which
    `given_up` for too long, and `held_for_claim` until an instance that was alone before must know that it is not.
    """

    def __init__(self, number: NewestNumber, reads: Reads, chores: Chores, board: Board, sole: Sole) -> None:
        self.held = 0
        self.given_up = 0
        self.held_for_claim = 0
        self._number = number
        self._reads = reads
        self._chores = chores
        self._board = board
        self._sole = sole
        self._highest = 0
        self._holding: list[_Held] | None = None
        self._free_from = 0.0
        self._free_until = 0.0

    @property
    def apart(self) -> bool:
        """True from the first OK that the cache could not be told of until it is told again."""
        return self._holding is not None

    def begin_anew(self) -> None:
        """Forget every number: another epoch has begun."""
        self._highest = 0

    def announce(self, position: int, claim: Claim, then: Then) -> None:
        """Call `then`, perhaps at once, with True when every process can know that the order has come to `position`,
        which a transaction under `claim` said; with False when that takes longer than GIVE_UP_SECONDS.
        """
        self._board.put(self._number.epoch(), position)
        if self._sole.wrote_alone(claim):
            then(True)
            return
        seconds = self._sole.seconds_to_hold(claim)
        if seconds:
            self.held_for_claim += 1
            asyncio.get_running_loop().call_later(seconds, self._tell, position, then)
        else:
            self._tell(position, then)

    def announce_known(self, position: int) -> bool:
        """True if every process can know that the order has come to `position`, to which this one has applied it: that
        is, if all others are on this machine. Otherwise the database has to be asked.
        """
        if not self._sole.is_alone():
            return False
        self._board.put(self._number.epoch(), position)
        return True

    def _tell(self, position: int, then: Then) -> None:
        shared = self._number.shared
        if shared is None or position <= self._number.stored:
            then(True)
            return
        self._highest = max(self._highest, position)
        if self._holding is not None:
            self._hold(then)
            return
        key = self._number.key
        shared.send(
            key, (b"ZADD", key, b"XX", b"GT", b"CH", position, MEMBER), partial(self._announced, key, position, then)
        )

    def _announced(self, key: bytes, position: int, then: Then, reply: Reply) -> None:
        if reply == 1:
            self._number.is_stored(key, position)
            then(True)
        elif reply == 0 and self._number.shared is not None:  # somebody else's is higher, or there is none
            self._number.shared.send(key, (b"ZSCORE", key, MEMBER), partial(self._compared, key, position, then))
        else:
            self._compared(key, position, then, reply)

    def _compared(self, key: bytes, position: int, then: Then, reply: Reply) -> None:
        number = number_in(reply)
        if number is not None and number >= position:
            self._number.is_stored(key, position)
            then(True)
            return
        if self._holding is None:
            self._holding = []
            self._free_from = self._free_until = 0.0  # at once: what was free before this is not now
            self._chores.begin(self._stand_apart(), "relay barrier apart")
        self._hold(then)

    def _hold(self, then: Then) -> None:
        assert self._holding is not None
        if self._free_from <= monotonic() < self._free_until:
            then(True)
            return
        self.held += 1
        held = _Held(then)
        self._holding.append(held)
        asyncio.get_running_loop().call_later(GIVE_UP_SECONDS, self._give_up, held)

    def _give_up(self, held: "_Held") -> None:
        if held.then is not None:
            self.given_up += 1
            if self._holding is not None:
                self._holding.remove(held)
            held.tell(False)

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

    def _let_go(self, held_next: "list[_Held] | None") -> None:
        ready, self._holding = self._holding or [], held_next
        for held in ready:
            held.tell(True)

    async def _store(self) -> bool:
        """True when the cache holds all that this process was to announce, at the moment of the return."""
        for _ in range(STORES):
            number = await self._number.make()
            if number is None:
                return False
            if number >= self._highest:
                return True
        return False


class _Held:
    """An OK, or those of a batch, that wait."""

    __slots__ = ("then",)

    def __init__(self, then: Then) -> None:
        self.then: Then | None = then

    def tell(self, told: bool) -> None:
        then, self.then = self.then, None
        if then is not None:
            try:
                then(told)
            except Exception:  # the others have nothing to do with it
                log.exception("an OK was not given")

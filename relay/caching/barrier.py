"""What a copy must have applied before it may answer: everything that was acknowledged before it was asked.

Whoever commits stores the newest number of the order in the shared cache before the OK goes out; whoever answers
from a copy fetches it, one fetch for all that wait, and answers when its own process has come so far.

Rule: the number that is handed out is never below one that was acknowledged before the asking, whatever becomes of the
cache. Therefore:
- The key is only ever raised, and made anew only from the primary's number under a token that was put into it before
  the primary was asked: whatever takes the key away takes the token too, so a late writer cannot make an emptied cache
  say too little.
- A server behind a new connection may be a replica that was promoted and lost the newest numbers: the primary is asked
  first, and what it says is the least from then on.
- A writer that cannot store its number says so in the database and holds its OKs back until no process can be left that
  has not read it: each trusts the cache only for LEASE_SECONDS after the start of its last look at the database.
- What is no number of the order is replaced. One that is too high costs time, never an answer. One that somebody else
  set too low is noticed by whoever knows a higher one, which is all up to LEASE_SECONDS ago; what the next announcement
  raises from there cannot be told from the truth: nobody else may write this key.
"""

import asyncio
import contextlib
import logging
import math
import secrets
from collections.abc import Callable, Coroutine
from functools import partial
from time import monotonic, time
from typing import Any

from hiredis import ReplyError

from relay.caching.shared import Away, Reply, Script, Shared
from relay.protocol.errors import Failed
from relay.storage.log import newest, stand_announced, stand_unannounced
from relay.storage.reads import Reads

log = logging.getLogger("relay.barrier")

LEASE_SECONDS = 0.3
BEAT_SECONDS = 0.1
"""So often the database is looked at, while somebody reads from copies."""

IDLE_SECONDS = 2.0
HOLD_SECONDS = LEASE_SECONDS + 0.05
NOTE_SECONDS = 10
"""How long the note of a process that cannot announce stands in the database; it is renewed long before."""

RENEW_SECONDS = 3.0
PROBE_SECONDS = 0.25
RAISES = 3
TOKEN_SECONDS = 60
"""A token that was forgotten in the key is swept away after so long."""

KEEP_SECONDS = 30 * 86_400
MAX_NUMBER = 2**53
"""A score is a double: what lies beyond is no number of the order, and nobody acknowledges anything by it."""

_MEMBER = b"newest"
# A token is a member of the key itself, with the time as its score, made negative to tell it from a number.
_PUT_TOKEN = Script(
    b"""
    if redis.call('type', KEYS[1]).ok ~= 'zset' then redis.call('del', KEYS[1]) end
    redis.call('zremrangebyscore', KEYS[1], '(' .. (ARGV[2] + ARGV[3]), '(0')
    redis.call('zadd', KEYS[1], ARGV[2], ARGV[1])
    redis.call('expire', KEYS[1], ARGV[4])
    return 1
    """
)
_RAISE = Script(
    b"""
    if redis.call('type', KEYS[1]).ok ~= 'zset' or not redis.call('zscore', KEYS[1], ARGV[1]) then return 0 end
    local known = tonumber(redis.call('zscore', KEYS[1], 'newest') or 0)
    if not known or known > tonumber(ARGV[3]) then redis.call('del', KEYS[1]) return 0 end
    redis.call('zadd', KEYS[1], 'GT', ARGV[2], 'newest')
    redis.call('zrem', KEYS[1], ARGV[1])
    return 1
    """
)

Then = Callable[[int | None], None]


class Barrier:
    """The barrier of one process. Without a shared cache the primary alone is asked, and nothing is announced.

    `epoch` says which order the numbers belong to. Counts: `fetches` of the cache, `asked_primary`, `held` OKs.
    """

    def __init__(self, shared: Shared | None, reads: Reads, epoch: Callable[[], int]) -> None:
        self.fetches = 0
        self.asked_primary = 0
        self.repairs = 0
        self.held = 0
        self._shared = shared
        self._reads = reads
        self._epoch = epoch
        self._key: tuple[int, bytes] = (-1, b"")
        self._waiting: list[Then] = []
        self._fetching = False
        self._used = -IDLE_SECONDS
        # What this process may believe.
        self._trusted_until = 0.0
        self._connection = -1
        self._least = 0
        # What it has announced.
        self._stored = 0
        self._highest = 0
        self._holding: list[Callable[[], None]] | None = None
        self._free_from = 0.0
        self._free_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to look at the database while it is of use; needs a running loop."""
        if self._shared is not None:
            self._spawn(self._beat(), "relay barrier")

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def begin_anew(self) -> None:
        """Forget every number: another epoch has begun, which counts from where it was left."""
        self._least = self._stored = self._highest = 0
        self._trusted_until = 0.0

    # -- Reading ------------------------------------------------------------------------------------------------------

    def join(self, then: Then) -> None:
        """Call `then`, in a later turn, with the number up to which a copy must have come; None if nobody can say."""
        self._waiting.append(then)
        if not self._fetching:
            self._fetch()

    def _fetch(self) -> None:
        group, self._waiting = self._waiting, []
        self._fetching = True
        self._used = now = monotonic()
        shared = self._shared
        if shared is None or now >= self._trusted_until:
            self._spawn(self._ask_primary(group), "relay barrier primary")
            return
        key = self._named()
        if shared.connection_number(key) != self._connection:
            self._spawn(self._ask_primary(group), "relay barrier primary")
            return
        self.fetches += 1
        shared.send(key, (b"ZSCORE", key, _MEMBER), partial(self._told, group))

    def _told(self, group: list[Then], reply: Reply) -> None:
        number = _number(reply)
        shared = self._shared
        assert shared is not None
        if (
            number is not None
            and number >= self._least
            and monotonic() < self._trusted_until
            and shared.connection_number(self._key[1]) == self._connection
        ):
            self._least = number
            self._finish(group, number)
            return
        if not isinstance(reply, Away) and (number is None or number < self._least):
            self._repair()
        self._spawn(self._ask_primary(group), "relay barrier primary")

    def _finish(self, group: list[Then], number: int | None) -> None:
        self._fetching = False
        if self._waiting:
            self._fetch()
        for then in group:
            try:
                then(number)
            except Exception:
                log.exception("an answer was not given")

    async def _ask_primary(self, group: list[Then]) -> None:
        number: int | None = None
        try:
            number = await self._look()
        except Failed:
            pass
        except Exception:
            log.exception("the primary could not be asked for the newest number")
        self._finish(group, number)  # whatever happened: who waits must be told, or all wait for ever

    async def _look(self) -> int:
        """Ask the primary; what it says holds for the connection that the cache was reached by before."""
        begin, least = monotonic(), self._least
        key = self._named()
        connection = 0 if self._shared is None else self._shared.connection_number(key)
        self.asked_primary += 1
        said = await newest(self._reads)
        if key != self._named():  # of an epoch that is over
            return said.position
        # A number from before the question that the order has not come to is none of its own.
        self._least = max(self._least, said.position) if said.position >= least else said.position
        self._connection = connection
        if not said.announced or connection == 0:
            self._trusted_until = 0.0
        else:
            self._trusted_until = max(self._trusted_until, begin + LEASE_SECONDS)
        return said.position

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if monotonic() - self._used < IDLE_SECONDS:
                with contextlib.suppress(Failed):
                    await self._look()

    def doubt(self, number: int) -> None:
        """The order did not come to `number` in good time: perhaps it is not the order's, then it is taken away."""
        if self._shared is not None:
            self._spawn(self._checked(number), "relay barrier check")

    async def _checked(self, number: int) -> None:
        shared, key = self._shared, self._named()
        with contextlib.suppress(Failed):
            if shared is not None and await self._look() < number and key == self._named():
                await shared.delete([key])
                self._repair()

    # -- Announcing ---------------------------------------------------------------------------------------------------

    def announce(self, position: int, then: Callable[[], None]) -> None:
        """Call `then`, perhaps at once, when every process can know that the order has come to `position`."""
        shared = self._shared
        if shared is None or position <= self._stored:
            then()
            return
        self._highest = max(self._highest, position)
        if self._holding is not None:
            self._hold(then)
            return
        key = self._named()
        shared.send(
            key, (b"ZADD", key, b"XX", b"GT", b"CH", position, _MEMBER), partial(self._announced, key, position, then)
        )

    def _announced(self, key: bytes, position: int, then: Callable[[], None], reply: Reply) -> None:
        if reply == 1:
            self._is_stored(key, position)
            then()
        elif reply == 0 and self._shared is not None:  # somebody else's is higher, or there is none
            self._shared.send(key, (b"ZSCORE", key, _MEMBER), partial(self._compared, key, position, then))
        else:
            self._compared(key, position, then, reply)

    def _is_stored(self, key: bytes, position: int) -> None:
        if key == self._named():  # numbers of another epoch mean nothing in this one
            self._stored = max(self._stored, position)

    def _compared(self, key: bytes, position: int, then: Callable[[], None], reply: Reply) -> None:
        number = _number(reply)
        if number is not None and number >= position:
            self._is_stored(key, position)
            then()
            return
        if self._holding is None:
            self._holding = []
            self._free_from = self._free_until = 0.0  # at once: what was free before this is not now
            self._spawn(self._stand_apart(), "relay barrier apart")
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
                    await asyncio.sleep(BEAT_SECONDS)
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
            then()

    async def _store(self) -> bool:
        """True when the cache holds all that this process was to announce, at the moment of the return."""
        while True:
            number = await self._raise()
            if number is None:
                return False
            if number >= self._highest:
                return True

    async def _raise(self) -> int | None:
        """Raise the key to the primary's number, or make it; returns the number, None if that was not possible."""
        shared = self._shared
        if shared is None:
            return None
        key = self._named()
        token = b"token " + secrets.token_hex(8).encode()
        try:
            for _ in range(RAISES):
                await shared.run_script(_PUT_TOKEN, [key], [token, -int(time()), TOKEN_SECONDS, KEEP_SECONDS])
                number = (await newest(self._reads)).position
                if await shared.run_script(_RAISE, [key], [token, number, MAX_NUMBER]) == 1:
                    self._is_stored(key, number)
                    return number
        except (Away, ReplyError, Failed):
            return None
        return None

    def _repair(self) -> None:
        if not any(task.get_name() == "relay barrier repair" for task in self._tasks):
            self.repairs += 1
            self._spawn(self._repaired(), "relay barrier repair")

    async def _repaired(self) -> None:
        await self._raise()

    # -- Both ---------------------------------------------------------------------------------------------------------

    def _named(self) -> bytes:
        """The key of this epoch."""
        epoch = self._epoch()
        if self._key[0] != epoch:
            self._key = (epoch, f"relay:1:{{barrier:{epoch}}}:newest".encode())
        return self._key[1]

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _number(reply: Reply) -> int | None:
    """The number in a reply, None for anything else: no key, another type, an absent server, what counts no changes."""
    try:
        number = float(reply) if isinstance(reply, bytes | str | float | int) else math.nan
    except ValueError:
        return None
    return int(number) if 0 <= number <= MAX_NUMBER else None

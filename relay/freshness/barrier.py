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
from collections.abc import Callable
from functools import partial
from time import monotonic

from relay.caching.announcements import Announcements
from relay.caching.board import Board
from relay.caching.chores import Chores
from relay.caching.newest_number import MEMBER, NewestNumber, number_in
from relay.caching.shared import Away, Reply, Shared
from relay.caching.sole import LEASE_SECONDS, Sole
from relay.protocol.errors import Failed
from relay.storage.log import newest
from relay.storage.reads import Reads

log = logging.getLogger("relay.barrier")

BEAT_SECONDS = 0.1
"""So often the database is looked at, while somebody reads from copies."""

IDLE_SECONDS = 2.0

Then = Callable[[int | None], None]


class Barrier:
    """The barrier of one process. Without a shared cache the primary alone is asked, and nothing is announced.

    `announce(position, then)` is the writing side (`announcements`). Counts: `fetches` of the cache, `asked_primary`,
    `repairs` of the key.
    """

    def __init__(
        self, shared: Shared | None, reads: Reads, epoch: Callable[[], int], board: Board | None = None
    ) -> None:
        """Without a `board` this process is an instance by itself."""
        self.from_board = 0
        self.fetches = 0
        self.asked_primary = 0
        self.repairs = 0
        self._chores = Chores()
        self._board = board or Board.of_one()
        self.sole = Sole(self._board, reads)
        self._number = NewestNumber(shared, reads, epoch)
        self.announcements = Announcements(self._number, reads, self._chores, self._board, self.sole)
        self.announce = self.announcements.announce
        self._reads = reads
        self._waiting: list[Then] = []
        self._fetching = False
        self._used = -IDLE_SECONDS
        self._trusted_until = 0.0
        self._connection = -1
        self._least = 0

    def start(self) -> None:
        """Begin to look at the database while it is of use; needs a running loop."""
        self.sole.start()
        self._chores.begin(self._beat(), "relay barrier")

    async def stop(self) -> None:
        await self._chores.stop()
        await self.sole.stop()

    def begin_anew(self) -> None:
        """Forget every number: another epoch has begun, which counts from where it was left."""
        self._least = self._number.stored = 0
        self._trusted_until = 0.0
        self.sole.begin_anew()
        self.announcements.begin_anew()

    def join(self, then: Then) -> None:
        """Call `then`, perhaps at once, with the number up to which a copy must have come; None if nobody can say."""
        if self.sole.is_alone():
            self.from_board += 1
            self._used = monotonic()
            then(self._highest())
            return
        self._waiting.append(then)
        if not self._fetching:
            self._fetch()

    def _fetch(self) -> None:
        group, self._waiting = self._waiting, []
        self._fetching = True
        self._used = now = monotonic()
        shared = self._number.shared
        if shared is None or now >= self._trusted_until or not self.sole.is_among_others():
            self._chores.begin(self._ask_primary(group), "relay barrier primary")
            return
        key = self._number.key
        if shared.connection_number(key) != self._connection:
            self._chores.begin(self._ask_primary(group), "relay barrier primary")
            return
        self.fetches += 1
        shared.send(key, (b"ZSCORE", key, MEMBER), partial(self._told, group))

    def _told(self, group: list[Then], reply: Reply) -> None:
        number = number_in(reply)
        shared = self._number.shared
        assert shared is not None
        if (
            number is not None
            and number >= self._least
            and monotonic() < self._trusted_until
            and shared.connection_number(self._number.key) == self._connection
        ):
            self._least = number
            self._finish(group, self._highest())
            return
        if not isinstance(reply, Away) and (number is None or number < self._least):
            self._repair()
        self._chores.begin(self._ask_primary(group), "relay barrier primary")

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
        key = self._number.key
        connection = 0 if self._number.shared is None else self._number.shared.connection_number(key)
        self.asked_primary += 1
        said = await newest(self._reads, self._board.name)
        if key != self._number.key:  # of an epoch that is over
            return said.position
        # A number from before the question that the order has not come to is none of its own.
        self._least = max(self._least, said.position) if said.position >= least else said.position
        self.sole.saw(begin, said.claim)
        self._connection = connection
        if not said.announced or connection == 0:
            self._trusted_until = 0.0
        else:
            self._trusted_until = max(self._trusted_until, begin + LEASE_SECONDS)
        return said.position

    def _highest(self) -> int:
        """What this process knows to be acknowledged, here and elsewhere."""
        return max(self._least, self._board.highest(self._number.epoch()))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if monotonic() - self._used < IDLE_SECONDS:
                with contextlib.suppress(Failed):
                    await self._look()

    def doubt(self, number: int) -> None:
        """The order did not come to `number` in good time: perhaps it is not the order's, then it is taken away."""
        if self._number.shared is not None and not self._chores.is_under_way("relay barrier check"):
            self._chores.begin(self._checked(number), "relay barrier check")

    async def _checked(self, number: int) -> None:
        shared, key = self._number.shared, self._number.key
        with contextlib.suppress(Failed):
            if shared is not None and await self._look() < number and key == self._number.key:
                await shared.delete([key])
                self._repair()

    def _repair(self) -> None:
        if not self._chores.is_under_way("relay barrier repair"):
            self.repairs += 1
            self._chores.begin(self._repaired(), "relay barrier repair")

    async def _repaired(self) -> None:
        await self._number.make()

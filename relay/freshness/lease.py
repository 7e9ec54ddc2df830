"""Whether this instance has the store for itself: then what its workers tell each other through memory is enough.

One row of the database says who claims the store, and every transaction that writes reads it under the lock of the
order. An instance that writes or reads beside the one that claims ends that claim first.

Rule: whoever acts on a claim has to be sure that nobody still acts on the one before it. Therefore:
- A claim counts for reading from the first look at it that began HOLD_SECONDS after it was first seen, and for
  LEASE_SECONDS from the begin of each look.
- Who writes holds the OK until HOLD_SECONDS after it first saw the claim it wrote under, or that there is none: until
  then an instance that was alone before may still read without asking anybody.
- Who writes alone keeps telling the shared cache until HOLD_SECONDS after it first saw its claim: until then others may
  still take the cache's word.
What was committed before a claim changed is below the position of every later look.
"""

import asyncio
import contextlib
from time import monotonic

from relay.caching.board import Board
from relay.caching.chores import Chores
from relay.protocol.errors import Failed
from relay.storage.reads import Reads
from relay.storage.sole import Claim, claim, leave

LEASE_SECONDS = 0.3
HOLD_SECONDS = LEASE_SECONDS + 0.05
CLAIM_SECONDS = 5.0
"""So often an instance says that it is at work; the database forgets it after six times as long (sql/sole.sql)."""

NEVER_SEEN = -1


class Sole:
    """What one process knows of the claim."""

    def __init__(self, board: Board, reads: Reads) -> None:
        self.claims = 0
        """How often this process, having looked and written nothing, has set out to end another instance's claim."""
        self._name = board.name
        self._reads = reads
        self._chores = Chores()
        self._claim = Claim(NEVER_SEEN, False)
        self._since = 0.0
        self._until = 0.0
        self._beginning = 0

    def start(self) -> None:
        """Begin to say that this instance is at work; needs a running loop."""
        self._chores.begin(self._keep(), "relay claim")

    async def stop(self) -> None:
        await self._chores.stop()
        with contextlib.suppress(Failed):
            await leave(self._reads, self._name)

    def begin_anew(self) -> None:
        """Forget what was seen: another epoch has begun."""
        self._beginning += 1
        self._claim = Claim(NEVER_SEEN, False)
        self._until = 0.0

    @property
    def has_claim(self) -> bool:
        """True if the claim was this instance's when last heard of it, CLAIM_SECONDS ago; longer without a database.

        For showing, since it holds while nobody asks as well; answers go by `is_alone`.
        """
        return self._claim.mine

    def is_alone(self) -> bool:
        """True while nobody outside this instance can acknowledge anything."""
        return self._claim.mine and monotonic() < self._until

    def is_among_others(self) -> bool:
        """True while everybody who acknowledges something tells the shared cache before."""
        return not self._claim.mine and not self._claim.foreign and monotonic() < self._until

    def saw(self, begin: float, seen: Claim) -> None:
        """A look at the database that began at `begin` (monotonic) found this claim."""
        if not self._note(seen):
            return
        if begin >= self._since + HOLD_SECONDS:
            self._until = max(self._until, begin + LEASE_SECONDS)
        if seen.foreign and not self._chores.is_under_way("relay claim ends"):
            self._chores.begin(self._end_foreign(), "relay claim ends")

    def wrote_alone(self, written: Claim) -> bool:
        """True if what was written under this claim concerns nobody outside this instance."""
        newest = self._note(written)
        return newest and written.mine and monotonic() >= self._since + HOLD_SECONDS

    def seconds_to_hold(self, written: Claim) -> float:
        """How long the OK for what was written under this claim has to wait."""
        if written.serial != self._claim.serial:  # long gone: when it began is not known any more
            return HOLD_SECONDS
        return max(0.0, self._since + HOLD_SECONDS - monotonic())

    def _note(self, seen: Claim) -> bool:
        """True if it is the newest that is known."""
        if seen.serial > self._claim.serial:
            self._claim = seen
            self._since = monotonic()
            self._until = 0.0
        return seen.serial == self._claim.serial

    async def _keep(self) -> None:
        while True:
            await self._try()
            await asyncio.sleep(CLAIM_SECONDS)

    async def _end_foreign(self) -> None:
        self.claims += 1
        await self._try()

    async def _try(self) -> None:
        beginning = self._beginning
        with contextlib.suppress(Failed):
            found = await claim(self._reads, self._name)
            if beginning == self._beginning:  # otherwise it is the claim of an epoch that is over
                self._note(found)

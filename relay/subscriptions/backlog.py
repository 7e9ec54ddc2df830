"""Deliveries that go on in later turns of the event loop, and work on the index, in slices.

A delivery that takes longer than `SLICE_SECONDS` goes on in the next turns of the loop, and later changes wait behind
it. That needs no other rule: a subscription released meanwhile is sent everything that this process has applied, and
its position keeps it out of what is still being delivered.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

from relay.changes.change import Change
from relay.changes.sizes import change_bytes
from relay.metrics import counters

log = logging.getLogger("relay.hub")

Later = Callable[[Callable[[], None]], object]
"""Calls a function in the next turn of the loop."""

SLICE_SECONDS = 0.005
"""The loop is used for so long at a time, to within the price of one piece."""
BACKLOG_BYTES = 33_554_432
"""Changes that wait for their delivery; above it the follower takes no more."""


class Backlog:
    """Work in pieces: deliveries, in order, and behind them `upkeep`."""

    def __init__(self, later: Later | None = None) -> None:
        """`later` is by default `call_soon` of the running loop."""
        self.bytes = 0
        self.is_full = False
        """True while more than BACKLOG_BYTES of changes wait for their delivery."""
        self.slice_seconds = SLICE_SECONDS
        self.upkeep: Callable[[], bool] = lambda: False
        """One piece of other work; False if there is none."""
        self.deliveries: deque[tuple[Iterator[None], int]] = deque()
        """Those that wait, with the size of their changes."""
        self.is_scheduled = False
        self._later = later or _call_soon
        self._room: asyncio.Future[None] | None = None

    async def room(self) -> None:
        """Wait until it is not full."""
        while self.is_full:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    def drop(self) -> None:
        """Forget what is not delivered: the position was lost, and numbers may be used again."""
        self.deliveries.clear()
        self._set_bytes(0)

    def begin(self, delivery: Iterator[None], changes: Sequence[Change]) -> None:
        """Deliver `changes` now, or what does not fit in this turn later, in order."""
        if not self.deliveries:
            stop = monotonic() + self.slice_seconds
            for _ in delivery:
                if monotonic() > stop:
                    break
            else:
                return
        size = sum(map(change_bytes, changes))
        self.deliveries.append((delivery, size))
        self._set_bytes(self.bytes + size)
        self.schedule()

    def schedule(self) -> None:
        """Do a slice of what waits in the next turn of the loop."""
        if not self.is_scheduled:
            self.is_scheduled = True
            self._later(self._run)

    def _set_bytes(self, size: int) -> None:
        self.bytes = size
        self.is_full = size > BACKLOG_BYTES
        if self._room is not None and not self.is_full:
            room, self._room = self._room, None
            room.set_result(None)

    def _run(self) -> None:
        """One slice of what waits: deliveries, then the index."""
        self.is_scheduled = False
        counters.delivery_slices += 1
        stop = monotonic() + self.slice_seconds
        while self._step() if self.deliveries else self.upkeep():
            if monotonic() > stop:
                self.schedule()
                return

    def _step(self) -> bool:
        """One piece of the first delivery."""
        delivery, size = self.deliveries[0]
        try:
            next(delivery)
        except StopIteration:
            self._end_first(size)
        except Exception:
            counters.internal_errors += 1
            log.exception("a batch of changes could not be delivered")
            self._end_first(size)
        return True

    def _end_first(self, size: int) -> None:
        self.deliveries.popleft()
        self._set_bytes(self.bytes - size)


def _call_soon(then: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_soon(then)

"""The position that a copy must have reached before it may answer: everything acknowledged before the query.

The primary gives it, in one statement for all queries that wait in a turn of the loop. While this instance holds the
single-instance lease, the acknowledged positions of its own workers, in shared memory, give it.

Rule: the position is never below one that was acknowledged before the query, whatever happens to cache and bus. The one
exception: while the primary is gone, a copy answers for a limited time as of the newest change that is known here. If
the primary is gone for all processes, nothing can be acknowledged, and the answer is right all the same.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from relay.background import BackgroundTasks, Task, cancel
from relay.freshness.ack_table import AckTable
from relay.freshness.lease import SingleInstanceLease
from relay.storage.primary import Look, Primary

log = logging.getLogger("relay.barrier")

RENEW_SECONDS = 0.1
"""How often the primary is asked while the lease answers queries."""

IDLE_SECONDS = 2.0
"""How long the lease is renewed without a query."""

AGAIN_SECONDS = 0.05
VERDICT_SECONDS = 1.5
"""A primary that does not answer is asked again for so long: by then it is known to be gone, and copies answer without
it, or it was only the connection that ended.
"""

Then = Callable[[int | None], None]


class Barrier:
    """The barrier of one process. Counts `from_memory`: queries answered by the lease, `looks`: statements to the
    primary.
    """

    def __init__(  # noqa: PLR0917
        self,
        primary: Primary,
        log_key: Callable[[], int],
        tasks: BackgroundTasks,
        table: AckTable | None = None,
        without_primary: Callable[[], int | None] = lambda: None,
        is_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """`log_key` gives `Store.log_key` of the followed store. Without a `table` this process is an instance of its
        own. `without_primary` gives the position of copies that answer because the primary is gone, None if it is not,
        or for too long. `is_up`: True while the primary is taken to answer.
        """
        self.from_memory = 0
        self.looks = 0
        self.held = 0
        """Batches whose OKs waited for the end of another instance's lease."""
        self._table = table or AckTable.of_one()
        self.lease = SingleInstanceLease(self._table.name, primary, tasks)
        self._primary = primary
        self._without_primary = without_primary
        self._is_up = is_up
        self._unanswered = 0.0
        """Since when looks that a query waits for are not answered; 0 while they are."""
        self._log_key = log_key
        self._tasks = tasks
        self._waiting: dict[Then, None] = {}
        self._looking = False
        self._asked: dict[Then, None] = {}
        """Those that the statement under way was sent for."""
        self._used = -IDLE_SECONDS
        self._newest = 0
        self._task: Task | None = None

    def start(self) -> None:
        """Begin to register the instance and to renew the lease; needs a running loop."""
        self.lease.start()
        self._task = self._tasks.service(self._renew(), "barrier")

    async def stop(self, *, leave: bool = True) -> None:
        """Stop. Waiting queries get None when their statement ends, at the latest when the primary is closed.

        leave: the whole instance ends.
        """
        await cancel([self._task])
        await self.lease.stop(leave=leave)

    def begin_epoch(self) -> None:
        """Forget all positions: another epoch has begun, which may use numbers again."""
        self._newest = 0
        self.lease.forget()

    def join(self, then: Then) -> None:
        """Call `then`, perhaps at once, with the position that a copy must have reached; None if it cannot be known."""
        self._used = monotonic()
        if self.lease.is_held():
            self.from_memory += 1
            then(self.acknowledged())
            return
        if (position := self._without_primary()) is not None:
            then(position)
            return
        self._waiting[then] = None
        if not self._looking:
            self._look()

    def leave(self, then: Then) -> None:
        """Forget a query that was closed before its answer; no error if it does not wait. So what waits here is no more
        than the open queries of the connections, however often these are replaced while the primary is slow.
        """
        self._waiting.pop(then, None)
        self._asked.pop(then, None)

    def acknowledge(self, position: int, hold_seconds: float, then: Callable[[], None]) -> None:
        """Call `then`, which sends OKs, when every process can know that `position` is acknowledged.

        That is at once, unless the database says that an instance may still rely on its lease for `hold_seconds`.
        """
        self._table.put(self._log_key(), position)
        if hold_seconds > 0:
            self.held += 1
            asyncio.get_running_loop().call_later(hold_seconds, then)
        else:
            then()

    def acknowledged(self) -> int:
        """The highest acknowledged position known to this process; while it holds the lease, the highest of all."""
        return max(self._newest, self._table.highest(self._log_key()))

    def _look(self) -> None:
        """Ask the primary once for all queries that wait now; later ones wait for the next statement."""
        group, self._waiting = self._waiting, {}
        self._asked = group
        self._looking = True
        begin = monotonic()
        self.looks += 1

        def seen(look: Look | None) -> None:
            self._asked = {}
            if look is not None or not (group or self._waiting):
                self._unanswered = 0.0
            elif self._asks_again(begin):
                self._waiting = group | self._waiting
                asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._look)
                return
            self._looking = False
            if look is not None and look.log_key != self._log_key():
                look = None  # a promoted server, or another store: its numbers say nothing about this process's copies
            if look is not None:
                self._newest = max(self._newest, look.position)
                self.lease.saw(begin, look)
            position = self._without_primary() if look is None else look.position
            if self._waiting:
                self._look()
            for then in list(group):
                try:
                    then(position)
                except Exception:
                    log.exception("a query could not be answered")

        self._primary.look(self._table.name, seen)

    def _asks_again(self, begin: float) -> bool:
        """Whether a look that began then and was not answered is repeated."""
        if not self._is_up():
            self._unanswered = 0.0
            return False
        self._unanswered = self._unanswered or begin
        return monotonic() - self._unanswered < VERDICT_SECONDS

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            if self.lease.taken and not self._looking and monotonic() - self._used < IDLE_SECONDS:
                self._look()


def asked_now(barrier: Barrier) -> "asyncio.Future[int | None]":
    """Like `Barrier.join`: the position will be the result of the future. One that is cancelled leaves."""
    result: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    def then(position: int | None) -> None:
        if not result.done():
            result.set_result(position)

    barrier.join(then)
    if not result.done():
        result.add_done_callback(lambda _: barrier.leave(then))
    return result


async def position_now(barrier: Barrier) -> int | None:
    """Like `Barrier.join`, for a coroutine."""
    return await asked_now(barrier)

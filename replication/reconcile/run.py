"""One run: windows are planned, and compared several at a time; what differs is taken and given at once."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from replication.reconcile.asking import Difference, PeerFault
from replication.reconcile.desk import Desk
from replication.reconcile.giving import give
from replication.reconcile.messages import Part, Stage, Window
from replication.reconcile.report import Report
from replication.reconcile.scope import Scope, Session, sessions
from replication.reconcile.taking import Taking

MOST_DEPTH = 8
"""How often a window that has grown is divided again: a peer that never has room must not have it done for ever."""


class Run:
    """Compares `whole` with the peer, one window at each of the `desks` at a time; the first plans."""

    def __init__(
        self,
        desks: Sequence[Desk],
        whole: Window,
        ours: Scope,
        report: Report,
        *,
        taking: Taking | None,
    ) -> None:
        """`ours` is the scope of what is sent to the peer. Without `taking` it only counts what is lacking."""
        self._desks = desks
        self._whole = whole
        self._ours = ours
        self._report = report
        self._taking = taking
        self._is_stopping = False

    def stop(self) -> None:
        """End after the batches under way."""
        self._is_stopping = True
        if self._taking is not None:
            self._taking.is_stopping = True

    async def run(self) -> None:
        """Until every window was compared, or `stop`. Raises PeerFault, PeerError or StoreAway."""
        theirs = await asyncio.to_thread(self._desks[0].peer.scope)
        for stage in Stage:
            for session in sessions(self._ours, theirs):
                try:
                    await self._session(stage, session)
                except* Exception as group:
                    raise _first_of(group) from None
        self._report.is_whole = not self._is_stopping

    async def _session(self, stage: Stage, session: Session) -> None:
        planned: asyncio.Queue[Part | None] = asyncio.Queue(maxsize=len(self._desks))
        planner, *workers = self._desks
        async with asyncio.TaskGroup() as group:
            for desk in workers:
                group.create_task(self._compare_planned(desk, session, planned))
            async for part in self._divided(planner, Part(stage, session.scope, self._whole)):
                await planned.put(part)
            for _ in workers:
                await planned.put(None)

    async def _compare_planned(self, desk: Desk, session: Session, planned: "asyncio.Queue[Part | None]") -> None:
        while (part := await planned.get()) is not None:
            if not self._is_stopping:
                await self._compare(desk, session, part)

    async def _divided(self, desk: Desk, whole: Part) -> AsyncIterator[Part]:
        """Divides a window at the bounds of both sides, so that each has at most WINDOW_ITEMS in a part."""
        lower, upper = whole.window.lower, whole.window.upper
        while lower < upper and not self._is_stopping:
            rest = whole.within(lower, upper)
            ours, ours_more = await asyncio.to_thread(desk.local.bounds, rest)
            theirs = await asyncio.to_thread(desk.peer.bounds, rest)
            ends = [bounds[-1] for bounds, more in ((ours, ours_more), (theirs.bounds, theirs.more)) if more]
            covered = min(ends, default=upper)
            for bound in sorted({bound for bound in (*ours, *theirs.bounds) if bound < covered} | {covered}):
                yield whole.within(lower, bound)
                lower = bound

    async def _compare(self, desk: Desk, session: Session, part: Part, depth: int = 0) -> None:
        items = await asyncio.to_thread(desk.local.items, part)
        found = None if items is None else await asyncio.to_thread(desk.peer.difference, part, items)
        if found is None:  # one side has grown meanwhile
            smaller = [divided async for divided in self._divided(desk, part)]
            if smaller == [part] or depth == MOST_DEPTH:
                raise PeerFault("the peer holds too many events for a window, and does not divide it")
            for divided in smaller:
                await self._compare(desk, session, divided, depth + 1)
            return
        self._report.windows += 1
        self._report.compared += found.compared
        self._report.rounds += found.rounds
        await self._exchange(desk, session, part, found)

    async def _exchange(self, desk: Desk, session: Session, part: Part, found: Difference) -> None:
        need = found.need if session.takes else []
        have = found.have if session.gives else []
        self._report.differing += bool(have or need)
        if self._taking is None:
            self._report.taken["lacking"] += len(need)
            self._report.given["lacking"] += len(have)
            return
        # What is given first replaces versions at the peer, which are not fetched then.
        await give(desk, part, have, self._report, lambda: self._is_stopping)
        await self._taking.take(desk, part, need)


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first

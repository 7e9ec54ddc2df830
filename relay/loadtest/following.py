"""Live subscriptions: who received which event of this run, and how long after its sending.

Rule: an event is known by the marker that the run signed into it, so traffic of others is not counted as ours. In a run
that streams what a follower has is settled event by event, so that memory is bounded however long it lasts.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Any

from relay.loadtest.board import Board
from relay.loadtest.link import GONE, Link, resolve
from relay.loadtest.plan import SETTLE_SECONDS, Plan
from relay.loadtest.pool import marker
from relay.loadtest.tally import Tally

LIVE = "live"
"""The subscription id of every live subscription."""
EOSE_SECONDS = 30.0
_LIVE_ID = f'"{LIVE}"'.encode()
_DIGITS = 8


class Follower:
    """The live subscriptions of a worker."""

    def __init__(self, plan: Plan, tally: Tally, board: Board) -> None:
        self._tally = tally
        self._sent_at = board.sent_at
        self._board = board
        self._events = plan.events
        self._slots = plan.slots
        self._settled = list(range(plan.processes)) if plan.streams else []
        """Of each worker of a run that streams: the first number that may still come."""
        self.settled_lost = 0
        """Deliveries that are missing, as far as events are settled."""
        self._mark = marker(plan.run)
        self._every = plan.timed_delivery
        self._links: list[Link] = []

    async def follow(self, links: Sequence[Link], live_filter: dict[str, Any]) -> None:
        """Subscribe all; returns when each has its EOSE, its CLOSED, or has been silent for EOSE_SECONDS."""
        loop = asyncio.get_running_loop()
        followed: dict[Link, asyncio.Future[bool]] = {link: loop.create_future() for link in links if link.open}
        for link, done in followed.items():
            link.seen = bytearray(self._slots)
            link.ask(LIVE, [live_filter], partial(self._on_end, done))
        if followed:
            await asyncio.wait(followed.values(), timeout=EOSE_SECONDS)
        self._links = [link for link, done in followed.items() if done.done() and done.result()]
        self._tally.followers = len(self._links)

    def _on_end(self, done: "asyncio.Future[bool]", refusal: object) -> None:
        if refusal is not None and refusal is not GONE and not done.done():
            self._tally.rejections.add_answer(refusal)
        resolve(done, refusal is None)

    def is_live(self, link: Link, data: bytes) -> bool:
        """Whether an EVENT message belongs to a live subscription."""
        return link.seen is not None and _LIVE_ID in data[8:20]

    def on_event(self, link: Link, data: bytes) -> None:
        """Count an event of a live subscription; every `Plan.timed_delivery`th is timed."""
        tally = self._tally
        at = data.find(self._mark)
        if at < 0:
            tally.foreign += 1
            return
        digits = data[at + len(self._mark) : at + len(self._mark) + _DIGITS]
        number = int(digits) if digits.isdigit() else -1
        slot = number % self._slots
        if not 0 <= number < self._events or link.seen is None:
            tally.garbage += 1
        elif self._settled and number < self._settled[number % len(self._settled)]:
            return  # too late: it counts as lost, or came before
        elif link.seen[slot]:
            tally.repeated += not link.replaying
        else:
            link.seen[slot] = 1
            tally.delivered += 1
            if tally.delivered % self._every == 0 and not link.replaying:
                self._time(slot)

    def _time(self, slot: int) -> None:
        tally, now = self._tally, perf_counter()
        tally.last_delivery = now
        tally.delivery.add(now - self._sent_at[slot], now - tally.started)

    def follow_again(self, before: Link, link: Link, live_filter: dict[str, Any]) -> None:
        """A follower has another connection: it asks for what it may have missed."""
        if before in self._links:
            self._links[self._links.index(before)] = link
            link.seen, link.replaying = before.seen, True
            link.ask(LIVE, [live_filter], lambda _refusal: link.end_replay())

    def settle(self) -> None:
        """Count what is missing of events that were sent SETTLE_SECONDS ago, and make their places free."""
        before = perf_counter() - SETTLE_SECONDS
        for worker in range(len(self._settled)):
            while self._board.was_sent_before(number := self._settled[worker], before):
                self._settle(number)
                self._settled[worker] = number + len(self._settled)

    def _settle(self, number: int) -> None:
        slot, later = number % self._slots, (number + self._slots // 2) % self._slots
        is_due = self._board.is_accepted(number)
        for link in self._links:
            if link.seen is not None:
                self.settled_lost += is_due and not link.seen[slot]
                link.seen[slot], link.seen[later] = 1, 0

    def missing(self) -> int:
        """How many deliveries of accepted events are still due; those to closed connections included."""
        accepted = self._board.accepted()
        return sum((accepted & ~_bits(link)).bit_count() for link in self._links)

    def can_still_come(self) -> bool:
        """Whether something is due on a connection that is open."""
        accepted = self._board.accepted()
        return any(link.open and accepted & ~_bits(link) for link in self._links)

    def finish(self) -> None:
        """No more waiting: count what each follower should have received."""
        self._tally.lost = self.settled_lost + self.missing()


def _bits(link: Link) -> int:
    return int.from_bytes(link.seen or b"", "big")

"""Events that wait for the operator's own policies: a bound on them, a time limit each, and their order.

Rule: verdicts take effect in the order in which the events came (01-E22), whatever the order in which they are reached.
Without such a policy nothing of this exists.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from relay.background import BackgroundTasks
from relay.metrics import counters, policy_latency
from relay.policies.source import Source
from relay.policies.verdict import ACCEPT, Verdict
from relay.protocol.errors import Failed
from relay.protocol.event import Event, StoredEvent

log = logging.getLogger("relay.policy")

MAX_BYTES = 33_554_432
"""JSON text of the events that wait."""

UNAVAILABLE = Failed("the policy of this relay does not answer, try again").text

Judge = Callable[[Event, StoredEvent, Source], Awaitable[Verdict]]
"""Raises any exception if it reaches no verdict."""


class _Waiting:
    __slots__ = ("size", "then", "verdict")

    def __init__(self, size: int, then: Callable[[Verdict], None]) -> None:
        self.size = size
        self.then = then
        self.verdict: Verdict | None = None


class Judgements:
    """The queue. `judges`: name and function, in order; an event needs the acceptance of all."""

    def __init__(
        self, judges: Sequence[tuple[str, Judge]], tasks: BackgroundTasks, *, seconds: float, events: int, accepts: bool
    ) -> None:
        """`seconds`: for each judge, the wait for its turn included. `accepts`: what happens without a verdict."""
        self.bytes = 0
        self._judges = judges
        self._tasks = tasks
        self._seconds = seconds
        self._events = events
        self._failed = ACCEPT if accepts else Verdict(False, UNAVAILABLE)
        self._waiting: deque[_Waiting] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, event: Event, stored: StoredEvent, source: Source, then: Callable[[Verdict], None]) -> None:
        """Call `then` in a later turn with the verdict. Raises Failed if too many events wait."""
        if len(self._waiting) >= self._events or self.bytes >= MAX_BYTES:
            raise Failed("the relay is too busy to accept events now, try again")
        waiting = _Waiting(len(stored.json), then)
        self.bytes += waiting.size
        self._waiting.append(waiting)
        self._tasks.for_client(self._decide(waiting, event, stored, source), "policy of the operator")

    async def _decide(self, waiting: _Waiting, event: Event, stored: StoredEvent, source: Source) -> None:
        began = time.perf_counter()
        verdict = self._failed
        try:
            verdict = await self._ask(event, stored, source)
        finally:
            waiting.verdict = verdict
            policy_latency.observe(time.perf_counter() - began)
            self._release()

    async def _ask(self, event: Event, stored: StoredEvent, source: Source) -> Verdict:
        for name, judge in self._judges:
            try:
                async with asyncio.timeout(self._seconds):
                    verdict = await judge(event, stored, source)
            except TimeoutError:
                counters.policy_timeouts += 1
                log.warning("%s reached no verdict in %g s", name, self._seconds)
                verdict = self._failed
            except Exception as error:
                counters.policy_failures += 1
                log.warning("%s failed: %r", name, error)
                verdict = self._failed
            if not verdict.accepted:
                counters.refused_by[name] += 1
                return verdict
        return ACCEPT

    def _release(self) -> None:
        waiting = self._waiting
        while waiting and waiting[0].verdict is not None:
            done = waiting.popleft()
            self.bytes -= done.size
            assert done.verdict is not None
            try:
                done.then(done.verdict)
            except Exception:  # it must not hold up the events behind it
                counters.internal_errors += 1
                log.exception("a verdict could not be carried out")

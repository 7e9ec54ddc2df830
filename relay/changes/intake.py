"""Puts batches that arrive late, twice or out of order back into the one order.

Rule: what comes out of `offer` is every change after the start, each once, in order, whatever went in.
"""

from collections.abc import Sequence

from relay.changes.change import Batch, Change
from relay.changes.ring import Ring

MAX_WAITING_BATCHES = 1_000
"""Batches kept while a hole before them is open; beyond it they are dropped and the log is read instead."""


class Intake:
    """Feeds a ring with batches from the bus, the log and this process's own commits."""

    def __init__(self, ring: Ring, max_waiting: int = MAX_WAITING_BATCHES) -> None:
        self.ring = ring
        self.dropped = 0
        self._max_waiting = max_waiting
        self._waiting: dict[int, Batch] = {}

    @property
    def hole(self) -> bool:
        """True while a batch waits for changes before it."""
        return bool(self._waiting)

    def restart(self, ring: Ring) -> None:
        """Begin anew with another ring: the place in the order was lost, or a new epoch began."""
        self.ring = ring
        self._waiting.clear()

    def offer(self, batch: Batch) -> Sequence[Change]:
        """Take a batch in; returns the changes that became applicable, in order (possibly none)."""
        ring = self.ring
        if batch.last <= ring.position:
            return ()
        if batch.first > ring.position + 1:
            self._keep(batch)
            return ()
        applied = ring.append(batch)
        return self._continue(applied) if self._waiting else applied

    def _keep(self, batch: Batch) -> None:
        if len(self._waiting) >= self._max_waiting:
            self.dropped += 1
            return
        held = self._waiting.get(batch.first)
        if held is None or held.last < batch.last:
            self._waiting[batch.first] = batch

    def _continue(self, applied: Sequence[Change]) -> Sequence[Change]:
        """Apply the waiting batches that now join on; a batch may overlap what another source brought."""
        out = list(applied)
        for first in sorted(self._waiting):
            if first > self.ring.position + 1:
                break
            out += self.ring.append(self._waiting.pop(first))
        return out

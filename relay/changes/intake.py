"""Puts batches that arrive late, twice or out of order back into the order of the log.

Rule: `offer` returns every change after the start exactly once and in order, whatever goes in.
"""

from collections.abc import Sequence

from relay.changes.change import Batch, Change
from relay.changes.ring import Ring

MAX_WAITING_BATCHES = 1_000
"""Batches kept while a gap before them is open; further ones are dropped and read from the log."""


class Intake:
    """Feeds a ring with batches from the bus, the log and this process's own commits."""

    def __init__(self, ring: Ring, max_waiting: int = MAX_WAITING_BATCHES) -> None:
        self.ring = ring
        self.dropped = 0
        self._max_waiting = max_waiting
        self._waiting: dict[int, Batch] = {}

    @property
    def has_gap(self) -> bool:
        """True while a batch waits for changes before it."""
        return bool(self._waiting)

    def restart(self, ring: Ring) -> None:
        """Start over with another ring: the position was lost, or a new epoch began."""
        self.ring = ring
        self._waiting.clear()

    def offer(self, batch: Batch) -> Sequence[Change]:
        """Take a batch; returns the changes that were applied, in order (possibly none)."""
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
        """Apply waiting batches that are now contiguous; a batch may overlap what another source brought."""
        out = list(applied)
        for first in sorted(self._waiting):
            if first > self.ring.position + 1:
                break
            out += self.ring.append(self._waiting.pop(first))
        return out

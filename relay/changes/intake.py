"""Puts batches that arrive late, twice or out of order back into the order of the log.

Rule: `offer` returns every change after the start exactly once and in order, whatever goes in.
"""

from collections.abc import Sequence

from relay.changes.change import Batch, Change
from relay.changes.ring import Ring
from relay.changes.sizes import change_bytes

MAX_WAITING_BATCHES = 1_000
"""Batches kept while a gap before them is open; further ones are dropped and read from the log."""

MAX_WAITING_BYTES = 4_194_304
"""Memory of these batches: all of them are applied in the step that closes the gap."""


class Intake:
    """Feeds a ring with batches from the bus, the log and this process's own commits."""

    def __init__(self, ring: Ring, max_waiting: int = MAX_WAITING_BATCHES) -> None:
        self.ring = ring
        self.dropped = 0
        self._max_waiting = max_waiting
        self._waiting: dict[int, Batch] = {}
        self._waiting_bytes = 0

    @property
    def has_gap(self) -> bool:
        """True while a batch waits for changes before it."""
        return bool(self._waiting)

    def restart(self, ring: Ring) -> None:
        """Start over with another ring: the position was lost, or a new epoch began."""
        self.ring = ring
        self._waiting.clear()
        self._waiting_bytes = 0

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
        held = self._waiting.get(batch.first)
        if held is not None and held.last >= batch.last:
            return
        if self._waiting and (
            len(self._waiting) >= self._max_waiting or self._waiting_bytes + _bytes(batch) > MAX_WAITING_BYTES
        ):
            self.dropped += 1
            return
        if held is not None:
            self._waiting_bytes -= _bytes(held)
        self._waiting[batch.first] = batch
        self._waiting_bytes += _bytes(batch)

    def _continue(self, applied: Sequence[Change]) -> Sequence[Change]:
        """Apply waiting batches that are now contiguous; a batch may overlap what another source brought."""
        out = list(applied)
        for first in sorted(self._waiting):
            if first > self.ring.position + 1:
                break
            batch = self._waiting.pop(first)
            self._waiting_bytes -= _bytes(batch)
            out += self.ring.append(batch)
        return out


def _bytes(batch: Batch) -> int:
    return sum(map(change_bytes, batch.changes))

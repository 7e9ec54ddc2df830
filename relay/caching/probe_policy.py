"""Decides whether L2 is asked, and written to: each costs as much as a small query to PostgreSQL.

Rule: it changes the cost of an answer, never the answer.
"""

PROBE_EVERY = 16
"""While the hit rate is low, one lookup in this number is still made, and one write: what is used often is written
soon.
"""

MIN_HIT_RATE = 0.2
WEIGHT = 0.02
"""Of the newest lookup in the moving average."""


class ProbePolicy:
    """Keeps a moving average of the hit rate."""

    __slots__ = ("_skipped", "_unwritten", "hit_rate")

    def __init__(self) -> None:
        self.hit_rate = 1.0
        self._skipped = 0
        self._unwritten = 0

    def should_look(self) -> bool:
        """True if the next lookup should be made."""
        if self.hit_rate >= MIN_HIT_RATE:
            return True
        self._skipped += 1
        return self._skipped % PROBE_EVERY == 0

    def should_write(self) -> bool:
        """True if what is used again should be written."""
        if self.hit_rate >= MIN_HIT_RATE:
            return True
        self._unwritten += 1
        return self._unwritten % PROBE_EVERY == 0

    def looked(self, found: bool) -> None:
        """Count a lookup that was made."""
        self.hit_rate += WEIGHT * (found - self.hit_rate)

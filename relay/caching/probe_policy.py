"""Whether a look into the shared cache is worth its cost: one that finds nothing costs what a small query does.

Rule: it changes what an answer costs, never the answer.
"""

PROBE_EVERY = 16
"""While looks do not pay, one in so many is taken all the same."""

LEAST_HIT_RATE = 0.2
WEIGHT = 0.02
"""Of the newest look in the moving average."""


class ProbePolicy:
    """Keeps a moving average of the hit rate."""

    __slots__ = ("_skipped", "hit_rate")

    def __init__(self) -> None:
        self.hit_rate = 1.0
        self._skipped = 0

    def should_look(self) -> bool:
        """True if the next look should be taken."""
        if self.hit_rate >= LEAST_HIT_RATE:
            return True
        self._skipped += 1
        return self._skipped % PROBE_EVERY == 0

    def looked(self, found: bool) -> None:
        """Count a look that was taken."""
        self.hit_rate += WEIGHT * (found - self.hit_rate)

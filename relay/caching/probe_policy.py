"""Decides how often a cache is used whose hit rate is low: a look, a write and a place in it cost as much as they save.

Rule: it changes the cost of an answer, never the answer.
"""

from collections.abc import Callable, Sequence
from random import random

SHARED_STEPS = ((0.2, 1), (0.02, 16), (0.0, 128))
"""Of L2, whose look and write cost as much as a small query to PostgreSQL each: from this hit rate on, one look in so
many is made, and one write. What is used often is written soon.
"""

MEMORY_STEPS = ((0.02, 1), (0.0, 8))
"""Of L1: one answer in so many is kept. One that is kept costs 12 us, and a hit saves some 400; what is asked often is
soon among them.
"""

WEIGHT = 0.02
"""Of the newest lookup in the moving average."""


class ProbePolicy:
    """Keeps a moving average of the hit rate. `steps`: pairs of the least hit rate and "one in so many", falling.

    Which ones is left to chance: a counter would never choose one of the queries that a client asks in turn.
    """

    __slots__ = ("_chance", "_steps", "hit_rate")

    def __init__(self, steps: Sequence[tuple[float, int]] = SHARED_STEPS, chance: Callable[[], float] = random) -> None:
        self.hit_rate = 1.0
        self._steps = steps
        self._chance = chance

    def is_due(self) -> bool:
        """True if the next lookup should be made, or the next answer written."""
        for least, every in self._steps:
            if self.hit_rate >= least:
                return every == 1 or self._chance() * every < 1
        return True

    def looked(self, found: bool) -> None:
        """Count a lookup that was made."""
        self.hit_rate += WEIGHT * (found - self.hit_rate)

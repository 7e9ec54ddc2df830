"""Decides how often a cache is used whose hit rate is low: a look, a write and a place in it cost as much as they save.

Rule: it changes the cost of an answer, never the answer.
"""

from collections.abc import Callable, Sequence
from random import random

LOOKS = ((0.2, 1), (0.004, 16), (0.0, 128))
"""Of L2, each of which costs as much as a small query to PostgreSQL: from this hit rate on, one in so many is made."""

WRITES = ((0.2, 1), (0.0, 16))
"""Of L2. What is used often is written soon, and then found by the looks that are left."""

PLACES = ((0.004, 1), (0.0, 8))
"""Of L1: one answer in so many is kept. One that is kept costs 12 us, and a hit saves some 400: it pays from a hit rate
of 3 % on, an eighth of which is seen while one in eight is kept.
"""

WEIGHT = 0.02
"""Of the newest lookup in the moving average."""


class ProbePolicy:
    """Keeps a moving average of the hit rate.

    `steps`: pairs of the least hit rate and "one in so many", falling. Which ones is left to chance: a counter would
    never choose one of the queries that a client asks in turn.
    """

    __slots__ = ("_chance", "hit_rate")

    def __init__(self, chance: Callable[[], float] = random) -> None:
        self.hit_rate = 1.0
        self._chance = chance

    def is_due(self, steps: Sequence[tuple[float, int]]) -> bool:
        """True if the next lookup should be made, or the next answer written."""
        for least, every in steps:
            if self.hit_rate >= least:
                return every == 1 or self._chance() * every < 1
        return True

    def looked(self, found: float) -> None:
        """Count a lookup that was made, and which part of it was found."""
        self.hit_rate += WEIGHT * (found - self.hit_rate)

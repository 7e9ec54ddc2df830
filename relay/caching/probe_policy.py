"""Whether it pays to look into the shared cache: a look that finds nothing costs what a small query does.

Rule: it changes what an answer costs, never the answer.
"""

TRY_EVERY = 16
"""While it does not pay, one of so many is tried all the same."""

LEAST_RATE = 0.2
WEIGHT = 0.02


class Worth:
    """Keeps the rate of finds of late."""

    __slots__ = ("_turn", "rate")

    def __init__(self) -> None:
        self.rate = 1.0
        self._turn = 0

    def ask(self) -> bool:
        """True if the next look should be taken."""
        if self.rate >= LEAST_RATE:
            return True
        self._turn += 1
        return self._turn % TRY_EVERY == 0

    def saw(self, found: bool) -> None:
        """Note what a look has found."""
        self.rate += WEIGHT * (found - self.rate)

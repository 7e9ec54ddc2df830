"""Rate limits as token buckets that all workers share. Pure: the clock is passed in.

A bucket holds `burst` tokens and gains `per_second`. Its level is in the shared cache; a worker spends from a grant
of its own, a quarter of the burst, so that no message waits for the cache. It asks for more when half is left, and
knows the answer before the rest is spent: half a grant is more than one read of a socket brings.

A worker begins a bucket with a grant on credit, which is charged with its first question. So a flood of addresses or
keys that come once costs no round trip. It begins anew only after the shared bucket was full again.

Bound: all workers together let through, in any time of T seconds, at most

    burst + per_second * T + 2 * grant * workers

two grants of each: one that it held, one on credit. A restart of a worker adds a grant; an outage, or a loss of the
cache's data, adds a burst at most.
"""

from collections.abc import Callable

from relay.protocol.rates import Rate

FAR_ABOVE = 10
FAR_ABOVE_SECONDS = 60.0
"""A client that sends this many times its limit for that long is disconnected."""


class Bucket:
    """What one worker holds of a shared bucket.

    left: tokens that it may spend; below 0 for bytes that came before reading stopped.
    low: below it more are asked for.
    unpaid: tokens, spent or not, that the shared bucket was not charged for.
    """

    __slots__ = ("_more", "alone_since", "ask_at", "asking", "left", "limit", "low", "name", "rate", "seen", "unpaid")

    def __init__(self, limit: str, name: str, rate: Rate, more: Callable[["Bucket"], None]) -> None:
        """`more` asks the shared bucket without waiting; it is called while less than half a grant is left."""
        self.limit = limit
        self.name = name
        self.rate = rate
        self.left = self.unpaid = rate.grant
        self.asking = False
        self.ask_at = 0.0
        self.alone_since: float | None = None  # the cache did not answer then
        self.seen = self.left  # when the idle were looked for
        self.low = (rate.grant + 1) // 2
        self._more = more

    def take(self, cost: int = 1) -> bool:
        """Spend; False, with nothing spent, if too little is left."""
        left = self.left - cost
        if left >= self.low:
            self.left = left
            return True
        if left < 0:
            self._more(self)  # without the cache it gains at once
        is_enough = self.left >= cost
        if is_enough:
            self.left -= cost
            self._more(self)
        return is_enough

    def charge(self, cost: int) -> bool:
        """Spend what has come already; False once nothing is left."""
        self.left = max(self.left - cost, -self.rate.burst)
        if self.left < self.low:
            self._more(self)
        return self.left >= 0

    @property
    def missing(self) -> int:
        """Tokens to a full grant."""
        return self.rate.grant - self.left

    @property
    def spent_on_credit(self) -> int:
        """Tokens spent that the shared bucket does not know of."""
        return max(0, self.unpaid - self.left)

    @property
    def is_fresh(self) -> bool:
        """As at its beginning: forgetting it changes nothing."""
        return self.left == self.unpaid == self.rate.grant

    def answered(self, paid: int, granted: int) -> None:
        """The shared bucket was charged for `paid` tokens of the unpaid ones, and gave `granted`."""
        self.unpaid -= paid
        self.left += granted
        self.alone_since = None

    def freshen(self) -> None:
        """The shared bucket is full and nothing is unpaid that was spent: begin anew, on credit."""
        self.left = self.unpaid = self.rate.grant

    def refill_alone(self, now: float, share: float) -> None:
        """The cache is away: gain this worker's `share` (0 to 1) of the rate by its own clock, up to a grant."""
        if self.alone_since is None:
            self.alone_since = now
            return
        per_second = self.rate.per_second * share
        gained = int((now - self.alone_since) * per_second)
        if gained > 0:
            self.left = min(self.rate.grant, self.left + gained)
            self.alone_since += gained / per_second

    def is_idle(self) -> bool:
        """True if nothing was spent or gained since the last call."""
        before, self.seen = self.seen, self.left
        return before == self.left and not self.asking


class Excess:
    """How far above its limits a client goes: refusals, each weighed by the time its limit takes to gain as much, a
    second at most.
    """

    __slots__ = ("_seconds", "_since")

    def __init__(self) -> None:
        self._seconds = 0.0
        self._since = float("-inf")

    def refused(self, rate: Rate, now: float) -> bool:
        """Count one refusal; True once they make up FAR_ABOVE times a limit within FAR_ABOVE_SECONDS."""
        if now - self._since > FAR_ABOVE_SECONDS:
            self._seconds, self._since = 0.0, now
        self._seconds += 1 / max(rate.per_second, 1.0)
        return self._seconds >= FAR_ABOVE * FAR_ABOVE_SECONDS

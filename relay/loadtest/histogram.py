"""Latencies in logarithmic buckets: any number of them in bounded memory, and histograms can be added.

Rule: a quantile is off by at most 1/64 of its value; the largest value is exact. PyPI's hdrhistogram has no wheel for
Linux on ARM, brings pbr and setuptools, and takes 27 KB a histogram, of which a run has up to 600.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from math import ceil, expm1, log1p

BUCKETS = 33
"""To a factor of e: half a bucket is 1/65 of its value (with 32 it would be a little more than 1/64)."""


class Histogram:
    """Counts of latencies, the longest `longest` (seconds)."""

    __slots__ = ("_counts", "longest")

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.longest = 0.0

    @property
    def count(self) -> int:
        """How many latencies there were."""
        return self._counts.total()

    def add(self, seconds: float) -> None:
        """Count one latency; a negative one counts as 0."""
        self._counts[int(log1p(max(seconds, 0.0) * 1e6) * BUCKETS)] += 1
        self.longest = max(self.longest, seconds)

    def merge(self, others: "Iterable[Histogram]") -> "Histogram":
        """Add what others have counted; returns itself."""
        for other in others:
            self._counts.update(other._counts)
            self.longest = max(self.longest, other.longest)
        return self

    def quantile(self, share: float) -> float | None:
        """The latency in seconds that `share` (0 to 1) of all do not exceed; None when nothing was counted."""
        wanted = max(1, ceil(share * self.count))
        return next((seconds for seconds, total in self.cumulative() if total >= wanted), None)

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """(middle of a bucket in seconds, how many latencies up to it), for each bucket in use, growing."""
        total = 0
        for bucket, number in sorted(self._counts.items()):
            total += number
            yield min(expm1((bucket + 0.5) / BUCKETS) / 1e6, self.longest), total

"""Latencies in logarithmic buckets: any number of them in bounded memory, and two histograms can be added.

Rule: a quantile is off by at most 1/32 of its value (HdrHistogram's layout with 32 buckets an octave); the
largest value is exact. There are at most about 1,000 buckets.
"""

from collections.abc import Iterable, Iterator
from math import ceil

_EXACT = 64  # below this number of microseconds every value has a bucket of its own
MAX_MICROSECONDS = 2**36 - 1  # 19 hours; longer ones count as this


def bucket_of(microseconds: int) -> int:
    """The bucket of a value from 0 to MAX_MICROSECONDS. Buckets grow with the values."""
    if microseconds < _EXACT:
        return microseconds
    shift = microseconds.bit_length() - 6
    return (shift << 5) + (microseconds >> shift)


def bounds_of(bucket: int) -> tuple[int, int]:
    """The smallest and the largest value of a bucket, in microseconds."""
    if bucket < _EXACT:
        return bucket, bucket
    shift = (bucket >> 5) - 1
    low = ((bucket & 31) + 32) << shift
    return low, low + (1 << shift) - 1


class Histogram:
    """Counts of latencies. `count` of them, the longest `longest` (seconds)."""

    __slots__ = ("_counts", "_longest", "count")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._longest = 0
        self.count = 0

    def add(self, seconds: float) -> None:
        """Count one latency; a negative one counts as 0."""
        value = min(max(int(seconds * 1e6), 0), MAX_MICROSECONDS)
        bucket = bucket_of(value)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        self._longest = max(self._longest, value)

    def merge(self, others: "Iterable[Histogram]") -> "Histogram":
        """Add what others have counted; returns itself."""
        for other in others:
            for bucket, number in other._counts.items():
                self._counts[bucket] = self._counts.get(bucket, 0) + number
            self.count += other.count
            self._longest = max(self._longest, other._longest)
        return self

    @property
    def longest(self) -> float:
        return self._longest / 1e6

    def quantile(self, share: float) -> float | None:
        """The latency in seconds that `share` (0 to 1) of all do not exceed; None when nothing was counted."""
        wanted = max(1, ceil(share * self.count))
        for seconds, total in self.cumulative():
            if total >= wanted:
                return seconds
        return None

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """(middle of a bucket in seconds, how many latencies up to it), for each bucket in use, growing."""
        total = 0
        for bucket in sorted(self._counts):
            total += self._counts[bucket]
            low, high = bounds_of(bucket)
            yield min((low + high) / 2, self._longest) / 1e6, total

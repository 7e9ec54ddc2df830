"""Quantiles of the histogram against those of a sorted list."""

from math import ceil

from hypothesis import example, given
from hypothesis import strategies as st

from relay.loadtest.histogram import Histogram

MAX_MICROSECONDS = 2**36
microseconds = st.integers(0, MAX_MICROSECONDS)
latencies = st.lists(microseconds, min_size=1, max_size=200)


def histogram(values: list[int]) -> Histogram:
    counted = Histogram()
    for value in values:
        counted.add((value + 0.5) / 1e6)
    return counted


def test_a_value_of_19_hours_is_in_one_of_about_a_thousand_buckets() -> None:
    counted = histogram([int(1.01**power) for power in range(2_500) if 1.01**power < MAX_MICROSECONDS])

    assert 500 < len(list(counted.cumulative())) < 1_000


@example([36_315, 36_883], 0.0)
@given(latencies, st.sampled_from([0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 1.0]))
def test_a_quantile_is_that_of_the_sorted_list_within_a_64th(values: list[int], share: float) -> None:
    exact = sorted(values)[max(1, ceil(share * len(values))) - 1]

    found = histogram(values).quantile(share)

    assert found is not None
    assert abs(found * 1e6 - exact) <= exact / 64 + 1


@given(latencies)
def test_the_longest_is_exact(values: list[int]) -> None:
    assert int(histogram(values).longest * 1e6) == max(values)


@given(latencies, latencies)
def test_merged_histograms_are_one_of_all_values(some: list[int], others: list[int]) -> None:
    merged = histogram(some).merge([histogram(others)])
    whole = histogram(some + others)

    assert list(merged.cumulative()) == list(whole.cumulative())
    assert (merged.count, merged.longest) == (whole.count, whole.longest)


def test_nothing_counted_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None


def test_a_clock_that_stepped_back_counts_as_no_time() -> None:
    counted = Histogram()

    counted.add(-1.0)

    assert (counted.count, counted.longest) == (1, 0.0)

"""Counting with integers, compared with counting one by one."""

from hypothesis import given
from hypothesis import strategies as st

from relay.metrics import SECONDS_BOUNDS, Counters, Histogram, histograms, query_answered, query_latency


@given(st.lists(st.one_of(st.floats(0, 5), st.sampled_from(SECONDS_BOUNDS))))
def test_each_value_is_counted_in_the_first_bucket_that_takes_it(values: list[float]) -> None:
    histogram = Histogram(SECONDS_BOUNDS)
    for value in values:
        histogram.observe(value)

    edges = (*SECONDS_BOUNDS, float("inf"))
    below = [sum(value <= edge for value in values) for edge in edges]
    assert histogram.counts == [high - low for low, high in zip([0, *below], below, strict=False)]
    assert histogram.sum == sum(values)


def test_a_query_is_counted_under_what_had_its_answer() -> None:
    before = query_latency["req", "l2"].counts[0]
    query_answered("req", "l2", 0.0005)

    assert query_latency["req", "l2"].counts[0] == before + 1
    assert histograms()["query/req/l2"] is query_latency["req", "l2"]


def test_a_refused_message_is_counted_by_the_name_of_its_answer() -> None:
    counters = Counters()
    for frame in (b'["NOTICE","invalid: x"]', b'["CLOSED","a","invalid: x"]', b'["NOTICE","invalid: y"]'):
        counters.refused(frame)

    assert counters.refusals == {"NOTICE": 2, "CLOSED": 1}


def test_totals_are_only_the_plain_counts() -> None:
    counters = Counters(messages=3)
    counters.rejections["invalid"] += 1

    assert counters.totals()["messages"] == 3
    assert {"rejections", "refusals"}.isdisjoint(counters.totals())

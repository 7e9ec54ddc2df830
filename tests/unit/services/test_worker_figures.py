"""The figures of many workers as one, compared with a plain count of the same values."""

from bisect import bisect_left

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from relay.caching.registry import CacheFigures
from relay.metrics import SECONDS_BOUNDS, Histogram
from relay.services.figures import decoded, snapshot
from relay.services.worker_figures import (
    NOTHING,
    HistogramFigures,
    LayerRate,
    PoolFigures,
    WorkerFigures,
    total,
)

counts = st.dictionaries(st.sampled_from(["queries", "reqs", "unheard of"]), st.integers(0, 2**40))
latencies = st.lists(st.integers(0, 4_000).map(lambda milliseconds: milliseconds / 1_000), max_size=30)


def histogram(values: list[float], bounds: tuple[float, ...] = SECONDS_BOUNDS) -> HistogramFigures:
    counted = Histogram(bounds)
    for value in values:
        counted.observe(value)
    return HistogramFigures(list(counted.bounds), counted.counts, counted.sum)


@st.composite
def workers(draw: st.DrawFn) -> WorkerFigures:
    integer = st.integers(0, 2**31)
    return WorkerFigures(
        connections=draw(integer),
        subscriptions=draw(integer),
        events_stored=draw(integer),
        events_per_second=draw(integer),
        position=draw(integer),
        started_at=draw(integer),
        instance=draw(st.sampled_from(["a", "b"])),
        version=draw(st.sampled_from(["1", "2"])),
        at=draw(integer),
        lag=draw(integer),
        bus_up=draw(st.booleans()),
        shared_up=draw(st.booleans()),
        single_instance=draw(st.booleans()),
        counts=draw(counts),
        by_label={"rejections": draw(counts)},
        histograms={"ok": histogram(draw(latencies))},
    )


@given(st.lists(workers(), min_size=1), st.randoms())
def test_the_sum_counts_what_every_worker_counted_in_whatever_order(parts: list[WorkerFigures], random: object) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    whole = total(shuffled)

    assert whole.connections == sum(part.connections for part in parts)
    assert whole.position == max(part.position for part in parts)
    assert whole.started_at == min(part.started_at for part in parts)
    assert whole.bus_up is all(part.bus_up for part in parts)
    assert whole.shared_up is all(part.shared_up for part in parts)
    assert whole.single_instance is any(part.single_instance for part in parts)
    assert whole.histograms["ok"].count == sum(part.histograms["ok"].count for part in parts)
    for name in ("queries", "reqs", "unheard of"):
        assert whole.counts.get(name, 0) == sum(part.counts.get(name, 0) for part in parts)
        assert whole.by_label["rejections"].get(name, 0) == sum(
            part.by_label["rejections"].get(name, 0) for part in parts
        )


@given(st.lists(latencies, min_size=1, max_size=5))
def test_histograms_of_workers_are_the_histogram_of_all_their_values(values: list[list[float]]) -> None:
    parts = [WorkerFigures(0, 0, 0, 0.0, 0, 0.0, histograms={"ok": histogram(each)}) for each in values]
    whole = total(parts).histograms["ok"]

    assert whole.counts == histogram([value for each in values for value in each]).counts


@given(latencies.filter(bool), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_lies_in_the_bucket_in_which_the_sorted_values_have_it(values: list[float], share: float) -> None:
    ranked = sorted(values)
    wanted = ranked[max(0, -int(-share * len(ranked) // 1) - 1)]
    found = histogram(values).quantile(share)

    assert found is not None
    bounds = (*SECONDS_BOUNDS, SECONDS_BOUNDS[-1])
    assert found <= bounds[bisect_left(SECONDS_BOUNDS, wanted)]
    assert found >= (0.0, *SECONDS_BOUNDS)[bisect_left(SECONDS_BOUNDS, wanted)]


def test_a_histogram_without_values_has_no_quantile() -> None:
    assert histogram([]).quantile(0.95) is None


def test_what_came_after_an_earlier_reading_is_the_difference() -> None:
    later = histogram([0.002, 0.3, 9.0])

    assert later.minus(histogram([0.3])).counts == histogram([0.002, 9.0]).counts


def test_a_histogram_with_other_buckets_breaks_nothing() -> None:
    old = WorkerFigures(0, 0, 0, 0.0, 0, 0.0, histograms={"ok": histogram([0.5], (1.0,))})
    new = WorkerFigures(0, 0, 0, 0.0, 0, 0.0, histograms={"ok": histogram([0.5, 0.5])})

    assert total([old, new]).histograms["ok"] == new.histograms["ok"]


def test_an_entry_that_all_workers_share_is_counted_once() -> None:
    def worker(layer: str) -> WorkerFigures:
        cache = CacheFigures("events", layer, size=10, bytes=100, hits=3, misses=1, errors=0, evictions={"size": 2})
        return WorkerFigures(0, 0, 0, 0.0, 0, 0.0, caches=[cache])

    own, shared = (total([worker(layer), worker(layer)]).caches[0] for layer in ("L1", "L2"))

    assert (own.size, own.hits, own.evictions) == (20, 6, {"size": 4})
    assert (shared.size, shared.hits, shared.evictions) == (10, 6, {"size": 4})


def test_pools_and_layers_add_up() -> None:
    part = WorkerFigures(
        0, 0, 0, 0.0, 0, 0.0, pools={"read": PoolFigures(1, 2, 3, 4)}, layers={"L1": LayerRate(3.0, 4.0)}
    )
    whole = total([part, part])

    assert whole.pools == {"read": PoolFigures(2, 4, 6, 8)}
    assert whole.layers["L1"].percent == 75.0


def test_a_layer_without_lookups_has_no_hit_rate() -> None:
    assert LayerRate().percent is None


def test_the_sum_of_no_workers_is_nothing() -> None:
    assert total([]) == NOTHING


def test_figures_of_an_older_version_are_read_and_what_they_lack_counts_nothing() -> None:
    old = decoded(
        b'{"connections":3,"subscriptions":1,"events_stored":7,"events_per_second":0.5,"position":9,"started_at":5.0}'
    )

    assert old is not None
    assert (total([old, NOTHING]).connections, old.counts) == (3, {})


def test_figures_of_a_newer_version_are_read_without_what_this_one_does_not_know() -> None:
    newer = msgspec.to_builtins(NOTHING) | {"connections": 4, "moon_phase": {"of": "today"}}
    found = decoded(msgspec.json.encode(newer))

    assert found is not None
    assert found.connections == 4


def test_figures_that_cannot_be_read_are_left_out() -> None:
    assert [decoded(value) for value in (b"", b"\xff", b"[]", b'{"connections":"many"}')] == [None] * 4


@given(workers())
def test_figures_pass_the_wire_unchanged(figures: WorkerFigures) -> None:
    assert decoded(msgspec.json.encode(figures)) == figures


def test_a_snapshot_is_in_the_order_of_instances_and_numbers() -> None:
    def worker(instance: str, number: str) -> WorkerFigures:
        return WorkerFigures(1, 0, 0, 0.0, 0, 0.0, instance=instance, worker=number)

    shown = snapshot([worker("b", "1"), worker("a", "10"), worker("a", "9")])

    assert [(each.instance, each.worker) for each in shown.workers] == [("a", "9"), ("a", "10"), ("b", "1")]
    assert (shown.instances, shown.total.connections) == (["a", "b"], 3)

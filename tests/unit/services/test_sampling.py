"""Rates and the last minute, from samples with times of their own."""

from msgspec.structs import replace

from relay.caching.registry import CacheFigures
from relay.services.sampling import Recent, Sampler
from relay.services.worker_figures import NOTHING, HistogramFigures


def test_the_last_minute_forgets_what_was_before() -> None:
    recent = Recent(window_seconds=60.0)
    for second in range(100):
        found = recent.add(float(second), HistogramFigures([1.0], [second, 0], float(second)))

    assert found.counts == [60, 0]


def test_a_sampler_fills_in_what_moves() -> None:
    sampler = Sampler()
    for second in range(11):
        cache = CacheFigures("events", "L1", 1, 1, hits=3 * second, misses=second, errors=0, evictions={})
        figures = replace(
            NOTHING, events_stored=10 * second, counts={"queries": 4 * second, "bus_foreign": second}, caches=[cache]
        )
        sampler.sample(float(second), figures, cpu_seconds=second / 2)
    filled = sampler.filled(figures)

    assert (filled.events_per_second, filled.queries_per_second, filled.cpu_percent) == (10.0, 4.0, 50.0)
    assert filled.foreign_per_second == 1.0
    assert filled.layers["L1"].percent == 75.0


def test_what_the_window_misses_and_a_page_answers_is_one_hit_of_the_layer() -> None:
    sampler = Sampler()
    for second in range(3):
        window = CacheFigures("window", "L1", 1, 1, hits=2 * second, misses=4 * second, errors=0, evictions={})
        pages = CacheFigures("results", "L1", 1, 1, hits=3 * second, misses=second, errors=0, evictions={})
        figures = replace(NOTHING, caches=[window, pages])
        sampler.sample(float(second), figures, cpu_seconds=0.0)

    rate = sampler.filled(figures).layers["L1"]
    assert (rate.hits_per_second, rate.lookups_per_second) == (5.0, 6.0)

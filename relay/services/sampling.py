"""Rates, the last minute, lag in seconds and CPU use, from totals that are sampled once a second.

Rule: arithmetic over samples that are passed in; no clock, no I/O.
"""

from collections import deque
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from relay.caching.process_window import NAME as WINDOW
from relay.caching.registry import CacheFigures
from relay.changes.lag import Lag
from relay.services.worker_figures import HistogramFigures, LayerRate, WorkerFigures

RECENT_SECONDS = 60.0


class Rate:
    """The growth of a total per second, over the last few seconds."""

    def __init__(self, window_seconds: float = 5.0) -> None:
        self._window = window_seconds
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, now: float, total: float) -> float:
        """Add the total at `now` (monotonic seconds); returns the rate."""
        samples = self._samples
        samples.append((now, total))
        while len(samples) > 2 and samples[1][0] <= now - self._window:
            samples.popleft()
        first, before = samples[0]
        return (total - before) / (now - first) if now > first else 0.0


class Recent:
    """The counts of a histogram in the last minute."""

    def __init__(self, window_seconds: float = RECENT_SECONDS) -> None:
        self._window = window_seconds
        self._samples: deque[tuple[float, HistogramFigures]] = deque()

    def add(self, now: float, figures: HistogramFigures) -> HistogramFigures:
        """Add the histogram at `now`; returns what was counted within the window before."""
        samples = self._samples
        samples.append((now, figures))
        while len(samples) > 2 and samples[1][0] <= now - self._window:
            samples.popleft()
        return figures.minus(samples[0][1])


class Moving(Struct, frozen=True):
    """The figures that `Sampler` computes; fields of `WorkerFigures`."""

    events_per_second: float = 0.0
    queries_per_second: float = 0.0
    foreign_per_second: float = 0.0
    cpu_percent: float = 0.0
    busiest_percent: float = 0.0
    lag_seconds: float = 0.0
    layers: dict[str, LayerRate] = {}
    recent: dict[str, HistogramFigures] = {}


class Sampler:
    """Samples the figures of one worker."""

    def __init__(self) -> None:
        self.latest = Moving()
        self._events, self._queries, self._cpu = Rate(), Rate(), Rate()
        self._foreign = Rate(RECENT_SECONDS)
        self._lag = Lag()
        self._layers: dict[str, tuple[Rate, Rate]] = {}
        self._recent: dict[str, Recent] = {}

    def sample(self, now: float, figures: WorkerFigures, cpu_seconds: float) -> None:
        """Add the totals of the worker at `now` (monotonic seconds), and the CPU seconds that it has used so far."""
        cpu = round(100.0 * self._cpu.add(now, cpu_seconds), 1)
        self.latest = Moving(
            events_per_second=self._events.add(now, figures.events_stored),
            queries_per_second=self._queries.add(now, figures.counts.get("queries", 0)),
            foreign_per_second=self._foreign.add(now, figures.counts.get("bus_foreign", 0)),
            cpu_percent=cpu,
            busiest_percent=cpu,
            lag_seconds=round(self._lag.add(now, figures.position + figures.lag, figures.position), 3),
            layers=self._layer_rates(now, figures),
            recent={
                name: self._recent.setdefault(name, Recent()).add(now, histogram)
                for name, histogram in figures.histograms.items()
            },
        )

    def filled(self, figures: WorkerFigures) -> WorkerFigures:
        """The figures with the values of the last sample."""
        moving = self.latest
        return replace(figures, **{name: getattr(moving, name) for name in _FILLED})

    def _layer_rates(self, now: float, figures: WorkerFigures) -> dict[str, LayerRate]:
        rates: dict[str, LayerRate] = {}
        for layer in sorted({cache.layer for cache in figures.caches}):
            hits, lookups = self._layers.setdefault(layer, (Rate(RECENT_SECONDS), Rate(RECENT_SECONDS)))
            caches = [cache for cache in figures.caches if cache.layer == layer]
            rates[layer] = LayerRate(
                hits.add(now, sum(cache.hits for cache in caches)),
                lookups.add(now, _lookups(caches)),
            )
        return rates


def _lookups(caches: Sequence[CacheFigures]) -> int:
    """Lookups in the caches of a layer. What the window misses is looked up among the pages, and counted there."""
    return sum(cache.hits + (0 if cache.name == WINDOW else cache.misses) for cache in caches)


_FILLED: Sequence[str] = Moving.__struct_fields__

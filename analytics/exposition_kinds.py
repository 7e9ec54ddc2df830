"""What a metric can be: a number that only grows, one as it is now, or a histogram, each with the way to its value.

Rule: a kind knows how its values are written down, and no value.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from relay.services.worker_figures import HistogramFigures, WorkerFigures

Labels = tuple[str, ...]
Samples = Iterable[tuple[Labels, float]]
Histograms = Iterable[tuple[Labels, HistogramFigures]]


@dataclass(frozen=True, slots=True)
class Seen:
    """The workers of one instance that live, and the sum of all that were: of the dead their counts alone."""

    workers: tuple[WorkerFigures, ...]
    total: WorkerFigures


@dataclass(frozen=True, slots=True)
class Counted:
    """A number that only grows; its name ends in `_total`."""

    name: str
    meaning: str
    samples: Callable[[Seen], Samples]
    labels: Labels = ()

    def family(self, seen: Seen) -> Metric:
        family = CounterMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, value in self.samples(seen):
            family.add_metric(labels, value)
        return family


@dataclass(frozen=True, slots=True)
class Measured:
    """A number as it is now."""

    name: str
    meaning: str
    samples: Callable[[Seen], Samples]
    labels: Labels = ()

    def family(self, seen: Seen) -> Metric:
        family = GaugeMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, value in self.samples(seen):
            family.add_metric(labels, value)
        return family


@dataclass(frozen=True, slots=True)
class Spread:
    """A histogram."""

    name: str
    meaning: str
    histograms: Callable[[Seen], Histograms]
    labels: Labels = ()

    def family(self, seen: Seen) -> Metric:
        family = HistogramMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, figures in self.histograms(seen):
            bounds = [*map(_number, figures.bounds), "+Inf"]
            family.add_metric(labels, list(zip(bounds, accumulate(figures.counts), strict=True)), figures.sum)
        return family


def _number(bound: float) -> str:
    return repr(float(bound))

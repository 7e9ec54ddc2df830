"""The types of metrics: counter, histogram and gauges, each with the function that reads its values.

Rule: a kind says how prometheus_client's files name it, which is how the values of several workers become one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import inf

from prometheus_client.core import Metric

from relay.services.worker_figures import HistogramFigures, LayerRate, WorkerFigures

Labels = tuple[str, ...]
Values = Iterable[tuple[Labels, float | HistogramFigures | LayerRate]]


@dataclass(frozen=True, slots=True)
class Shown:
    """A metric. `values` takes the figures of one worker; the name of one that only grows ends in `_total`."""

    kind: str
    name: str
    meaning: str
    values: Callable[[WorkerFigures], Values]
    labels: Labels = ()

    def samples(self, figures: WorkerFigures) -> Iterator[tuple[str, Labels, float]]:
        """(name, labels, number) as the files have them: buckets are not cumulative, their last label is `le`; a rate
        is its two parts, because percents cannot be added.
        """
        for labels, value in self.values(figures):
            match value:
                case HistogramFigures():
                    for bound, number in zip([*value.bounds, inf], value.counts, strict=True):
                        yield f"{self.name}_bucket", (*labels, str(bound)), number
                    yield f"{self.name}_sum", labels, value.sum
                case LayerRate():
                    yield f"{self.name}_hits", labels, value.hits_per_second
                    yield f"{self.name}_lookups", labels, value.lookups_per_second
                case _:
                    yield self.name, labels, value


def percent(family: Metric) -> Metric:
    """The rate of all workers in percent, from its parts; none of caches without a look-up."""
    parts = {(sample.name, tuple(sample.labels.items())): sample.value for sample in family.samples}
    family.samples = []
    for (name, labels), lookups in parts.items():
        if name.endswith("_lookups") and lookups:
            family.add_sample(family.name, dict(labels), 100.0 * parts[f"{family.name}_hits", labels] / lookups)
    return family


Counted = partial(Shown, "counter")
Spread = partial(Shown, "histogram")
Measured = partial(Shown, "gauge_livesum")
Highest = partial(Shown, "gauge_livemax")
"""The highest value of all workers; of a flag, 1 if any worker has it set."""
Lowest = partial(Shown, "gauge_livemin")
"""The lowest value of all workers; of a flag, 1 if every worker has it set."""

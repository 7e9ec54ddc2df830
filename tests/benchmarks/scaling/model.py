"""The cost model: CPU of a class of processes is a sum of what it did, each kind of work times its cost.

Pure. `fit` finds the costs from samples, `predict` is the sum, `deviation` compares the two.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from enum import StrEnum
from math import sqrt

SWEEPS = 4_000
SETTLED = 1e-9
"""The fit ends when nothing moves by more than this share of what is to be explained."""


@dataclass(frozen=True, slots=True)
class Work:
    """What was done, as counts. Of a worker, or the sum of several.

    servers: seconds that a server ran; seconds: that a worker ran; connections: connection-seconds; events: published
    here and stored; commits: transactions that stored them; messages: received from the bus, and changes: events in
    them; deliveries: events sent to subscriptions; memory: queries answered from memory; database: of one author from
    PostgreSQL; feeds: home feeds of hundreds of authors from PostgreSQL; commands: sent to the shared cache.
    """

    servers: float = 0.0
    seconds: float = 0.0
    connections: float = 0.0
    events: float = 0.0
    commits: float = 0.0
    messages: float = 0.0
    changes: float = 0.0
    deliveries: float = 0.0
    memory: float = 0.0
    database: float = 0.0
    feeds: float = 0.0
    commands: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(*[a + b for a, b in zip(astuple(self), astuple(other), strict=True)])

    def __sub__(self, other: "Work") -> "Work":
        return Work(*[a - b for a, b in zip(astuple(self), astuple(other), strict=True)])


KINDS = tuple(field.name for field in fields(Work))


class Part(StrEnum):
    """A class of processes."""

    WORKERS = "workers"
    PRIMARY = "primary"
    REPLICA = "replica"
    CACHE = "cache"
    BUS = "bus"


CONCERNS: Mapping[Part, Sequence[str]] = {
    Part.WORKERS: [kind for kind in KINDS if kind not in ("servers", "commands")],
    Part.PRIMARY: ("servers", "seconds", "events", "commits", "memory", "database", "feeds"),
    Part.REPLICA: ("servers", "seconds", "events", "commits", "database", "feeds"),
    Part.CACHE: ("servers", "seconds", "commands"),
    Part.BUS: ("servers", "seconds", "commits", "messages"),
}
"""What work a part can have a share in; without it the fit would explain noise by whatever else happened."""

Costs = Mapping[Part, Mapping[str, float]]
"""Seconds of CPU for each kind of work."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds of CPU that a part spent on the work."""

    part: Part
    work: Work
    cpu: float


def fit(samples: Iterable[Sample]) -> Costs:
    """The costs, none below zero, that explain the samples of each part with the least squares of differences."""
    by_part = defaultdict[Part, list[Sample]](list)
    for sample in samples:
        by_part[sample.part].append(sample)
    return {part: _fit_part(CONCERNS[part], found) for part, found in by_part.items()}


def _fit_part(kinds: Sequence[str], samples: Sequence[Sample]) -> dict[str, float]:
    columns = {kind: [getattr(sample.work, kind) for sample in samples] for kind in kinds}
    return least_squares(columns, [sample.cpu for sample in samples])


def least_squares(columns: Mapping[str, Sequence[float]], values: Sequence[float]) -> dict[str, float]:
    """Coordinate descent: each factor in turn takes what the others leave unexplained, and is never less than zero."""
    squares = {kind: sum(value * value for value in column) for kind, column in columns.items()}
    costs = dict.fromkeys(columns, 0.0)
    left = [*values]
    settled = SETTLED * sqrt(sum(value * value for value in values))
    for _ in range(SWEEPS):
        moved = 0.0
        for kind, column in columns.items():
            if not squares[kind]:
                continue
            step = sum(a * b for a, b in zip(column, left, strict=True)) / squares[kind]
            step = max(step, -costs[kind])
            costs[kind] += step
            left = [b - step * a for a, b in zip(column, left, strict=True)]
            moved = max(moved, abs(step) * sqrt(squares[kind]))
        if moved <= settled:
            break
    return costs


def predict(costs: Costs, part: Part, work: Work) -> float:
    """Seconds of CPU of the part for the work of the whole cluster."""
    return sum(cost * float(getattr(work, kind)) for kind, cost in costs[part].items())


def deviation(predicted: float, measured: float) -> float:
    """Of a prediction, as a share of what was measured."""
    return predicted / measured - 1 if measured else 0.0

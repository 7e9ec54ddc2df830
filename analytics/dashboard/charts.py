"""The charts of the dashboard, made of the minute history: an hour, a day or a month. Rule: one unit for each chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from analytics.history import PERIODS as STEPS
from analytics.history import Point, points
from analytics.models import Minute


@dataclass(frozen=True, slots=True)
class Period:
    """`name`: a key of analytics.history.PERIODS; `label`: the strftime format of the axis."""

    name: str
    title: str
    label: str


PERIODS = {
    period.name: period
    for period in (
        Period("hour", "Hour", "%H:%M"),
        Period("day", "Day", "%H:%M"),
        Period("month", "Month", "%d %b"),
    )
}
assert PERIODS.keys() == STEPS.keys()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: a field of Point, its label, and a factor for its values."""

    field: str
    label: str
    factor: float = 1.0

    def value(self, point: Point) -> float | None:
        """The scaled value, rounded to 3 digits; None for a gap."""
        found = getattr(point, self.field)
        return None if found is None else round(float(found) * self.factor, 3)


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart and its lines, all in one unit, because they share an axis. `is_total`: the axis need not begin at 0."""

    name: str
    title: str
    unit: str
    lines: Sequence[Line]
    is_total: bool = False


CHARTS = (
    Chart(
        "rates",
        "Events and queries",
        "per second",
        (Line("events_per_second", "events"), Line("queries_per_second", "queries")),
    ),
    Chart(
        "latency", "Latency, p95", "ms", (Line("query_p95_seconds", "query", 1000), Line("ok_p95_seconds", "OK", 1000))
    ),
    Chart(
        "connections",
        "Connections",
        "count",
        (Line("connections", "connections"), Line("subscriptions", "subscriptions")),
    ),
    Chart("hits", "Cache hit rate", "%", (Line("hit_rate_l1", "L1"), Line("hit_rate_l2", "L2"))),
    Chart("store", "Events stored", "count", (Line("events", "events"),), is_total=True),
    Chart("size", "Store size", "MB", (Line("store_bytes", "tables and indexes", 1e-6),), is_total=True),
    Chart("cpu", "CPU", "% of a core", (Line("cpu_percent", "all workers"),)),
    Chart("memory", "Memory", "MB", (Line("memory_bytes", "all workers", 1e-6),)),
    Chart(
        "pool", "Database connections", "count", (Line("pool_used", "in use"), Line("pool_waiting", "queries waiting"))
    ),
    Chart("lag", "Replication lag", "s", (Line("position_lag_seconds", "slowest worker"),)),
    Chart("jobs", "Jobs queued", "count", (Line("jobs_waiting", "jobs"),)),
    Chart("workers", "Workers", "count", (Line("workers", "workers"),)),
)
"""An even number, so that no row of two is half empty."""


def series(period: Period, now: datetime) -> dict[str, Any]:
    """As history.js reads it: `labels` of the axis, `times` of the points, and each chart's lines with a value or None
    for each point.
    """
    found = points(period.name, now)
    return {
        "period": period.name,
        "labels": [point.at.strftime(period.label) for point in found],
        "times": [f"{point.at:%Y-%m-%d %H:%M} UTC" for point in found],
        "charts": {
            chart.name: [
                {"label": line.label, "values": [line.value(point) for point in found]} for line in chart.lines
            ]
            for chart in CHARTS
        },
    }


def chart_named(name: str) -> Chart:
    """The chart of that name. Raises KeyError."""
    return {chart.name: chart for chart in CHARTS}[name]


def newest() -> Minute | None:
    """The newest row of the minute history; None if it is empty."""
    return Minute.objects.order_by("-minute").first()

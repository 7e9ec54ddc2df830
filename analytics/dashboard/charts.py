"""The charts of the dashboard, made of the minute history: an hour, a day or a month."""

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
        Period("day", "Day", "%a %H:%M"),
        Period("month", "Month", "%d %b %H:%M"),
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
    """A chart and its lines."""

    name: str
    title: str
    unit: str
    lines: Sequence[Line]


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
        "",
        (Line("connections", "connections"), Line("subscriptions", "subscriptions")),
    ),
    Chart("hits", "Cache hit rate", "%", (Line("hit_rate_l1", "L1"), Line("hit_rate_l2", "L2"))),
    Chart("store", "Events stored", "", (Line("events", "events"),)),
    Chart(
        "load",
        "Load",
        "",
        (
            Line("cpu_percent", "CPU, % of a core"),
            Line("pool_used", "database connections"),
            Line("jobs_waiting", "jobs queued"),
            Line("position_lag_seconds", "replication lag, s"),
        ),
    ),
)


def series(period: Period, now: datetime) -> dict[str, Any]:
    """As history.js reads it: `labels`, and for each chart its lines with a value or None for each label."""
    found = points(period.name, now)
    return {
        "period": period.name,
        "labels": [point.at.strftime(period.label) for point in found],
        "charts": {
            chart.name: [
                {"label": line.label, "values": [line.value(point) for point in found]} for line in chart.lines
            ]
            for chart in CHARTS
        },
    }


def newest() -> Minute | None:
    """The newest row of the minute history; None if it is empty."""
    return Minute.objects.order_by("-minute").first()

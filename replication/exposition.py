"""Metrics of the replication that the database knows, read at each scrape: the same from every instance.

While the database does not answer they are left out; what processes count stands in replication.metrics.
"""

from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError, connection
from msgspec import Struct
from prometheus_client.core import GaugeMetricFamily, Metric

from replication.statements import statement

LANE = ("peer", "lane")
PEER = ("peer",)


class Gauge(Struct, frozen=True):
    """A metric: `column` is its place in the rows of `sql`, after its labels."""

    name: str
    meaning: str
    labels: tuple[str, ...]
    sql: str
    column: int


GAUGES = (
    Gauge("relay_replication_lag_events", "Changes that the lane has not looked at.", LANE, "figures", 2),
    Gauge("relay_replication_lag_seconds", "Age of the oldest of them.", LANE, "figures", 3),
    Gauge("relay_replication_lane_up", "1: the peer takes what is sent.", LANE, "figures", 4),
    Gauge("relay_replication_events_per_second", "Speed of the last batch.", LANE, "figures", 5),
    Gauge("relay_replication_peer_up", "1: the peer has answered in the last minute.", PEER, "peer_figures", 1),
    Gauge("relay_replication_peer_latency_seconds", "Of a question for its state.", PEER, "peer_figures", 2),
    Gauge("relay_replication_peer_clock_seconds", "Its clock minus ours.", PEER, "peer_figures", 3),
    Gauge("relay_replication_dead_letters", "Events that the peer refuses.", ("peer", "reason"), "letter_figures", 2),
    Gauge(
        "relay_replication_last_repair_timestamp_seconds",
        "When anti-entropy last compared all (Unix seconds).",
        PEER,
        "peer_figures",
        4,
    ),
    Gauge(
        "relay_replication_last_comparison_timestamp_seconds",
        "When anti-entropy last ended well, whatever was compared (Unix seconds).",
        PEER,
        "peer_figures",
        5,
    ),
)


def families() -> Iterator[Metric]:
    """Every gauge with its values; nothing while the database does not answer. For a thread without a connection."""
    try:
        rows = {name: _rows(name) for name in {gauge.sql for gauge in GAUGES}}
    except DatabaseError:
        return
    finally:
        connection.close()
    for gauge in GAUGES:
        family = GaugeMetricFamily(gauge.name, gauge.meaning, labels=gauge.labels)
        for row in rows[gauge.sql]:
            if row[gauge.column] is not None:
                family.add_metric([str(label) for label in row[: len(gauge.labels)]], float(row[gauge.column]))
        yield family


def _rows(name: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement(name))
        return list(cursor.fetchall())

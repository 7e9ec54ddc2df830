"""Metrics of the jobs that the database knows, read at each scrape: the same from every instance.

The jobs of most relays run in a process without /metrics of its own, so what an alert asks for stands here, and what
one process counts in exposition_tasks. While the database does not answer they are left out.
"""

from collections.abc import Iterator

from django.db import DatabaseError, connection
from prometheus_client.core import GaugeMetricFamily, Metric

from analytics.schedule import jobs
from analytics.statements import statement

GAUGES = {
    "relay_job_interval_seconds": "Between two runs of a job that is switched on.",
    "relay_job_last_success_timestamp_seconds": "When a job last ended well, on whichever instance (Unix seconds).",
}
"""Name and meaning, in the order of the columns of sql/job_figures.sql."""

LABELS = ("name",)


def families() -> Iterator[Metric]:
    """Both gauges of every job; nothing while the database does not answer. For a thread without a connection."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement("job_figures"), [[job.name for job in jobs()]])
            rows = cursor.fetchall()
    except DatabaseError:
        return
    finally:
        connection.close()
    for column, (name, meaning) in enumerate(GAUGES.items(), 1):
        family = GaugeMetricFamily(name, meaning, labels=LABELS)
        for row in rows:
            family.add_metric([row[0]], float(row[column]))
        yield family

"""Where the dashboard's figures come from: the workers, the shared cache's server, the job queue, the database."""

from dataclasses import dataclass

from django.db.models import OuterRef, Subquery
from django_celery_beat.models import PeriodicTask

from analytics.dashboard.charts import newest
from analytics.dashboard.live import Read
from analytics.history import jobs_waiting
from analytics.models import JobRun
from relay.conf import config
from relay.routers import read_connection
from relay.services import process
from relay.services.cache_server import cache_server_now
from relay.services.figures import ClusterSnapshot, read_figures_now, snapshot


def current_snapshot() -> ClusterSnapshot:
    """The figures of all workers; without the shared cache those of this process, with `whole` False."""
    found = read_figures_now(config().cache_url)
    relay = process.current()
    if found.whole or relay is None:
        return found
    own = snapshot([relay.status.mine()])
    return ClusterSnapshot(own.workers, own.total, whole=False)


def read() -> Read:
    """What the dashboard shows besides the snapshot."""
    return Read(jobs_waiting(), newest(), event_count(), cache_server_now(config().cache_url))


def event_count() -> int | None:
    """The number of stored events (sql/event_count.sql); None if it is not known."""
    with read_connection().cursor() as cursor:
        cursor.execute("SELECT analytics_event_count()")
        events = cursor.fetchone()[0]
    return None if events is None else int(events)


@dataclass(frozen=True, slots=True)
class LastRun:
    """A scheduled job's name and its last run, None before the first."""

    job: str
    run: JobRun | None


def last_runs() -> list[LastRun]:
    """All scheduled jobs, by name; one index look-up in the log for each."""
    last = JobRun.objects.filter(job=OuterRef("name")).order_by("-started_at", "-id").values("pk")[:1]
    found = PeriodicTask.objects.order_by("name").values_list("name", Subquery(last))
    entries = [(str(name), run) for name, run in found]
    runs = JobRun.objects.in_bulk([run for _, run in entries if run is not None])
    return [LastRun(name, runs.get(run)) for name, run in entries]

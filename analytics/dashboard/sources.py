"""Where the dashboard's figures come from: the workers' figures in the shared cache, and the log of job runs."""

from dataclasses import dataclass

from django.db.models import OuterRef, Subquery
from django_celery_beat.models import PeriodicTask

from analytics.models import JobRun
from relay.conf import config
from relay.services import runtime
from relay.services.figures import ClusterSnapshot, read_figures_now, snapshot


def current_snapshot() -> ClusterSnapshot:
    """The figures of all workers; without the shared cache those of this process, with `whole` False."""
    found = read_figures_now(config().cache_url)
    relay = runtime.current()
    if found.whole or relay is None:
        return found
    own = snapshot([relay.status.mine()])
    return ClusterSnapshot(own.workers, own.total, whole=False)


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

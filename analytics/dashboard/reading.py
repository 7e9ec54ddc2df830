"""Where the page's figures come from: the board of the workers, and the log of runs."""

from dataclasses import dataclass

from django.db.models import OuterRef, Subquery
from django_celery_beat.models import PeriodicTask

from analytics.models import JobRun
from relay.conf import config
from relay.services import runtime
from relay.services.figures import Board, board, read_figures_now


def board_now() -> Board:
    """What all workers said last; with the cache away what this process says of itself, and `whole` False."""
    found = read_figures_now(config().cache_url)
    relay = runtime.current()
    if found.whole or relay is None:
        return found
    alone = board([relay.status.mine()])
    return Board(alone.workers, alone.total, whole=False)


@dataclass(frozen=True, slots=True)
class Job:
    """An entry of the schedule and its last run, None when it never ran."""

    entry: PeriodicTask
    run: JobRun | None


def jobs() -> list[Job]:
    """Every entry of the schedule, by name: one look-up in the log for each, however long the log is."""
    last = JobRun.objects.filter(job=OuterRef("name")).order_by("-started_at", "-id").values("pk")[:1]
    entries = list(
        PeriodicTask.objects.select_related("interval", "crontab", "solar", "clocked")
        .annotate(last_run=Subquery(last))
        .order_by("name")
    )
    runs = JobRun.objects.in_bulk([entry.last_run for entry in entries if entry.last_run is not None])
    return [Job(entry, runs.get(entry.last_run)) for entry in entries]

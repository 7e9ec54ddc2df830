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
class LastRun:
    """The name of an entry of the schedule, and its last run: None when it never ran."""

    job: str
    run: JobRun | None


def last_runs() -> list[LastRun]:
    """Every entry of the schedule, by name: one look-up in the log for each, however long the log is."""
    last = JobRun.objects.filter(job=OuterRef("name")).order_by("-started_at", "-id").values("pk")[:1]
    found = PeriodicTask.objects.order_by("name").values_list("name", Subquery(last))
    entries = [(str(name), run) for name, run in found]
    runs = JobRun.objects.in_bulk([run for _, run in entries if run is not None])
    return [LastRun(name, runs.get(run)) for name, run in entries]

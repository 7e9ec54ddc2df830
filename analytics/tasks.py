"""The operators' jobs, on Celery. Each may run twice or be killed at any moment and does no harm."""

from celery import shared_task
from django.utils import timezone

from analytics import history, joblog, pruning, rollup, runlog
from analytics.refresh import refresh as refresh_view
from analytics.registry import view_named

joblog.connect()


@shared_task(name="analytics.tasks.roll_up")  # type: ignore[untyped-decorator]
def roll_up() -> int | None:
    """Take what happened into the roll-up; returns how many changes and stored events that were."""
    with runlog.run("roll-up") as run:
        done = rollup.roll_up(run=run)
        run.rows = done.changes + done.events
    return run.rows


@shared_task(name="analytics.tasks.refresh")  # type: ignore[untyped-decorator]
def refresh(name: str) -> int | None:
    """Refresh the view with this name; returns its rows, None when it was skipped."""
    return refresh_view(view_named(name))


@shared_task(name="analytics.tasks.note_minute")  # type: ignore[untyped-decorator]
def note_minute() -> int | None:
    """Write the figures of now into this minute; returns how many workers were seen."""
    with runlog.run("note-minute") as run:
        run.rows = history.note_minute(timezone.now())
    return run.rows


@shared_task(name="analytics.tasks.prune")  # type: ignore[untyped-decorator]
def prune() -> int | None:
    """Take away what the operators' tables no longer need; returns how many rows went."""
    with runlog.run("prune-analytics") as run:
        run.rows = pruning.prune()
    return run.rows

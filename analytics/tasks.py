"""The analytics' Celery tasks. Each may run twice or be killed at any moment."""

from celery import shared_task
from django.utils import timezone

from analytics import history, job_runs, job_signals, pruning, rollup
from analytics.refresh import refresh as refresh_view
from analytics.registry import view_named

job_signals.connect()


@shared_task(name="analytics.tasks.roll_up")  # type: ignore[untyped-decorator]
def roll_up() -> int | None:
    """Process new changes; returns the number of changes and events."""
    with job_runs.run("roll-up") as run:
        done = rollup.roll_up(run=run)
        run.rows = done.changes + done.events
    return run.rows


@shared_task(name="analytics.tasks.refresh")  # type: ignore[untyped-decorator]
def refresh(name: str) -> int | None:
    """Refresh the view of that name; returns its number of rows, None if skipped."""
    return refresh_view(view_named(name))


@shared_task(name="analytics.tasks.note_minute")  # type: ignore[untyped-decorator]
def note_minute() -> int | None:
    """Write the current figures into the minute history; returns the number of workers."""
    with job_runs.run("note-minute") as run:
        run.rows = history.note_minute(timezone.now())
    return run.rows


@shared_task(name="analytics.tasks.prune")  # type: ignore[untyped-decorator]
def prune() -> int | None:
    """Delete old rows; returns how many."""
    with job_runs.run("prune-analytics") as run:
        run.rows = pruning.prune()
    return run.rows

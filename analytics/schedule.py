"""What the schedule holds from the first start on. django-celery-beat keeps it, operators change it in the admin.

Rule: what an operator changed is never overwritten: an entry follows a new default only while it has the interval that
the software wrote last, and one that was deleted stays away. Switching an entry off is the operator's alone.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from analytics.models import ScheduleDefault
from analytics.registry import VIEWS
from relay.storage.store import current_store

FIRST_REFRESH_SECONDS = 30.0
"""After the first roll-up, so that an operator does not look at empty lists for as long as an interval."""

MICROSECONDS = {"days": 86_400e6, "hours": 3_600e6, "minutes": 60e6, "seconds": 1e6, "microseconds": 1.0}


@dataclass(frozen=True, slots=True)
class Job:
    """An entry of the schedule. `name` is that of its runs as well (`JobRun.job`)."""

    name: str
    task: str
    every_seconds: float
    arguments: tuple[str, ...] = ()
    description: str = ""
    first_seconds: float | None = None
    """How long after the first start it runs; None: after its interval."""


def jobs() -> Iterator[Job]:
    """Every job: those of the settings, and those of the operators' figures."""
    for name, (task, seconds, description) in settings.JOBS.items():
        yield Job(name, task, seconds, (), description)
    yield Job("roll-up", "analytics.tasks.roll_up", 15.0, (), "Reads the log of changes into the roll-up tables")
    yield Job(
        "note-minute", "analytics.tasks.note_minute", 20.0, (), "Records the figures of this minute in the history"
    )
    yield Job("prune-analytics", "analytics.tasks.prune", 3_600.0, (), "Deletes old rows of roll-up, history and runs")
    for view in VIEWS:
        refreshed = f"Refreshes the materialized view {view.name}"
        yield Job(
            view.job, "analytics.tasks.refresh", view.cadence_seconds, (view.name,), refreshed, FIRST_REFRESH_SECONDS
        )


def job_named(name: str) -> Job:
    """Raises KeyError for a name that no job has."""
    return {job.name: job for job in jobs()}[name]


@transaction.atomic
def install() -> int:
    """Bring the schedule to this version's defaults; returns how many entries were made or changed."""
    written = {default.name: default.every_seconds for default in ScheduleDefault.objects.all()}
    entries = {entry.name: entry for entry in PeriodicTask.objects.select_related("interval")}
    return sum(_install(job, written.get(job.name), entries.get(job.name)) for job in jobs())


def send(name: str) -> None:
    """Run a job now as the software has it, on whichever Celery worker is free, also without an entry in the schedule.

    Raises KeyError for a name that no job has, and kombu's OperationalError without a broker.
    """
    job = job_named(name)
    _send(job.task, args=job.arguments, expires=max(60.0, job.every_seconds))


def send_entry(entry: PeriodicTask) -> None:
    """Run an entry now as operators have it. Raises kombu's OperationalError without a broker."""
    _send(
        entry.task,
        args=json.loads(entry.args),
        kwargs=json.loads(entry.kwargs),
        queue=entry.queue or None,
        headers={"periodic_task_name": entry.name},
    )


def _send(task: str, **options: Any) -> None:
    """To the workers of this store, by the name that it has now: the process may be older than the name."""
    prefix = {"global_keyprefix": current_store().broker_prefix}
    with current_app.connection_for_write(transport_options=prefix) as broker:
        current_app.send_task(task, connection=broker, **options)


def _install(job: Job, written: float | None, entry: PeriodicTask | None) -> bool:
    if written is None and entry is None:
        PeriodicTask.objects.create(
            name=job.name,
            task=job.task,
            args=json.dumps(job.arguments),
            interval=_interval(job.every_seconds),
            expire_seconds=max(1, int(job.every_seconds)),  # what waited for a worker longer has been overtaken
            description=job.description,
            last_run_at=_as_if_run_at(job),
        )
    elif entry is None or written == job.every_seconds or _seconds(entry) != written:
        return False
    else:
        entry.interval = _interval(job.every_seconds)
        entry.expire_seconds = max(1, int(job.every_seconds))
        entry.save()
    ScheduleDefault.objects.update_or_create(name=job.name, defaults={"every_seconds": job.every_seconds})
    return True


def _as_if_run_at(job: Job) -> datetime | None:
    """The time of a last run after which the first one is due `first_seconds` from now."""
    if job.first_seconds is None:
        return None
    return timezone.now() - timedelta(seconds=job.every_seconds - job.first_seconds)


def _interval(seconds: float) -> IntervalSchedule:
    whole = float(seconds).is_integer()
    every, period = (int(seconds), "seconds") if whole else (round(seconds * 1e6), "microseconds")
    # Not get_or_create: nothing keeps an operator from making a second one.
    found = IntervalSchedule.objects.filter(every=every, period=period).first()
    return found or IntervalSchedule.objects.create(every=every, period=period)


def _seconds(entry: PeriodicTask) -> float | None:
    interval = entry.interval
    return None if interval is None else interval.every * MICROSECONDS[interval.period] / 1e6

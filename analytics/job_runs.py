"""The log of job runs: job, instance, start, duration, outcome.

Rule: a run is written at its start and its end, so that killed runs can be told from running ones.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError
from django.db.models import QuerySet
from django.utils import timezone

from analytics.models import JobRun

MAX_ERROR = 1_000
"""Stored characters of an error."""

LOST_SECONDS = 3_600
"""An unfinished run older than this was killed: jobs may take a tenth of it."""


class Skipped(Exception):
    """Raised by a job that cannot run now; the text says why."""


class Run:
    """A run in progress. The job sets `rows`, the number of rows it processed, before the end."""

    def __init__(self, job: str) -> None:
        self.rows: int | None = None
        self._has_lock = False
        self._began = time.monotonic()
        self._row = JobRun.objects.create(job=job, instance=instance(), started_at=timezone.now())

    def has_lock(self) -> None:
        """The caller holds the job's lock: mark other unfinished runs of the job as killed."""
        if not self._has_lock:
            self._has_lock = True
            unfinished = JobRun.objects.filter(job=self._row.job, outcome=JobRun.Outcome.RUNNING)
            _mark_killed(unfinished.exclude(pk=self._row.pk))

    def end(self, outcome: str, error: str = "") -> None:
        """Write outcome and duration; without a database the row stays unfinished."""
        with contextlib.suppress(DatabaseError):
            JobRun.objects.filter(pk=self._row.pk).update(
                outcome=outcome,
                error=error[:MAX_ERROR].replace("\0", ""),
                rows=self.rows,
                finished_at=timezone.now(),
                duration_seconds=time.monotonic() - self._began,
            )


@contextlib.contextmanager
def run(job: str) -> Iterator[Run]:
    """Log a run of `job`. Skipped is logged and suppressed, any other exception is logged and raised again."""
    this = Run(job)
    try:
        yield this
    except Skipped as reason:
        this.end(JobRun.Outcome.SKIPPED, str(reason))
    except BaseException as error:
        this.end(JobRun.Outcome.FAILED, f"{type(error).__name__}: {error}")
        raise
    else:
        this.end(JobRun.Outcome.DONE)


def mark_lost() -> int:
    """Mark unfinished runs older than LOST_SECONDS as killed; returns how many."""
    before = timezone.now() - timedelta(seconds=LOST_SECONDS)
    return _mark_killed(JobRun.objects.filter(outcome=JobRun.Outcome.RUNNING, started_at__lt=before))


def instance() -> str:
    """This process: instance name and process id."""
    return f"{settings.RELAY_INSTANCE}:{os.getpid()}"


def _mark_killed(runs: "QuerySet[JobRun, JobRun]") -> int:
    return runs.update(outcome=JobRun.Outcome.KILLED, finished_at=timezone.now(), error="its process ended")

"""The log of runs of jobs: who ran what, when, for how long, what came of it.

Rule: a run is written when it begins and again when it ends, so that one that was killed can be told from one that
runs.
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
"""Characters of an error that are kept."""

LOST_SECONDS = 3_600
"""A run that began so long ago and has not ended is over: no job may take a tenth of that."""


class Skipped(Exception):
    """There was nothing to do now; the text says why."""


class Run:
    """One run under way. `rows` is what the job counts; set it before the run ends."""

    def __init__(self, job: str) -> None:
        self.rows: int | None = None
        self._is_alone = False
        self._began = time.monotonic()
        self._row = JobRun.objects.create(job=job, instance=instance(), started_at=timezone.now())

    def alone(self) -> None:
        """The caller holds the job's lock, so whatever else is said to run was killed."""
        if not self._is_alone:
            self._is_alone = True
            _bury(JobRun.objects.filter(job=self._row.job, outcome=JobRun.Outcome.RUNNING).exclude(pk=self._row.pk))

    def end(self, outcome: str, error: str = "") -> None:
        """Write the end; a database that is away leaves the row as it is."""
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
    """Log a run of `job`. Skipped ends it quietly; any other exception is noted and goes on."""
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


def bury_lost() -> int:
    """Mark runs that can no longer be under way; returns how many."""
    before = timezone.now() - timedelta(seconds=LOST_SECONDS)
    return _bury(JobRun.objects.filter(outcome=JobRun.Outcome.RUNNING, started_at__lt=before))


def instance() -> str:
    """This process: the machine's name and the process id."""
    return f"{settings.RELAY_INSTANCE}:{os.getpid()}"


def _bury(runs: "QuerySet[JobRun, JobRun]") -> int:
    return runs.update(outcome=JobRun.Outcome.KILLED, finished_at=timezone.now(), error="its process went away")

"""Logs the runs of the relay's own jobs, which know nothing of the run log, by the signals of Celery's worker.

Rule: the log is no part of the job: when it cannot be written, the job runs all the same.
"""

import logging
from typing import Any

from celery.signals import task_postrun, task_prerun
from django.conf import settings
from django.db import DatabaseError

from analytics.models import JobRun
from analytics.runlog import Run

log = logging.getLogger("relay.tasks")
_runs: dict[str, Run] = {}


def connect() -> None:
    """Begin to log; a second call changes nothing."""
    task_prerun.connect(began, dispatch_uid="relay run log: began")
    task_postrun.connect(ended, dispatch_uid="relay run log: ended")


def began(task_id: str, task: Any, **_rest: Any) -> None:
    """A worker is about to run a task."""
    job = {name: job for job, (name, *_) in settings.JOBS.items()}.get(task.name)
    if job is not None:
        try:
            _runs[task_id] = Run(job)
        except DatabaseError as error:
            log.warning("the run of %s is not logged: %s", job, error)


def ended(task_id: str, retval: Any = None, state: str | None = None, **_rest: Any) -> None:
    """A worker has run a task; `retval` is what it returned, or the exception."""
    this = _runs.pop(task_id, None)
    if this is None:
        return
    if state == "SUCCESS":
        this.rows = retval if isinstance(retval, int) else None
        this.end(JobRun.Outcome.DONE)
    else:
        this.end(JobRun.Outcome.FAILED, f"{type(retval).__name__}: {retval}")

"""Logs the runs of the relay's jobs (settings.JOBS), through Celery's signals: `relay` does not import analytics.

Rule: a job also runs when the log cannot be written.
"""

import logging
from typing import Any

from celery.signals import task_postrun, task_prerun
from django.conf import settings
from django.db import DatabaseError

from analytics.job_runs import Run
from analytics.models import JobRun

log = logging.getLogger("relay.tasks")
_runs: dict[str, Run] = {}


def connect() -> None:
    """Connect the signals; idempotent."""
    task_prerun.connect(began, dispatch_uid="relay run log: began")
    task_postrun.connect(ended, dispatch_uid="relay run log: ended")


def began(task_id: str, task: Any, **_rest: Any) -> None:
    """Celery's task_prerun."""
    job = {name: job for job, (name, *_) in settings.JOBS.items()}.get(task.name)
    if job is not None:
        try:
            _runs[task_id] = Run(job)
        except DatabaseError as error:
            log.warning("the run of %s is not logged: %s", job, error)


def ended(task_id: str, retval: Any = None, state: str | None = None, **_rest: Any) -> None:
    """Celery's task_postrun; `retval`: the result or the exception."""
    this = _runs.pop(task_id, None)
    if this is None:
        return
    if state == "SUCCESS":
        this.rows = retval if isinstance(retval, int) else None
        this.end(JobRun.Outcome.DONE)
    else:
        this.end(JobRun.Outcome.FAILED, f"{type(retval).__name__}: {retval}")

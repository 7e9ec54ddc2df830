"""Metrics of the jobs that Celery runs, counted where they run.

A job takes milliseconds at least, so prometheus_client counts here, into the folder that the processes of this instance
share. Rule: a scrape of an instance shows the jobs that ran on it, and on no other.
"""

import time
from typing import Any

from celery.signals import task_postrun, task_prerun
from prometheus_client import Counter, Gauge, Histogram

OUTCOMES = {"SUCCESS": "success", "FAILURE": "failure", "RETRY": "retry", "IGNORED": "ignored", "REJECTED": "rejected"}
SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0)

runs = Counter("nostr_task_runs", "Jobs that Celery ran, by how they ended.", ["task", "outcome"])
durations = Histogram("nostr_task_seconds", "How long jobs took.", ["task"], buckets=SECONDS)
last_success = Gauge(
    "nostr_task_last_success_timestamp_seconds",
    "When a job last ended well (Unix seconds).",
    ["task"],
    multiprocess_mode="max",
)

_begun: dict[str, float] = {}


def watch_tasks() -> None:
    """Count every job of this process from now on."""
    task_prerun.connect(_begins, weak=False)
    task_postrun.connect(_ended, weak=False)


def count_run(task: str, outcome: str, seconds: float | None) -> None:
    """Count one run. `outcome` is a value of OUTCOMES; `seconds` None when its begin was not seen."""
    runs.labels(task, outcome).inc()
    if seconds is not None:
        durations.labels(task).observe(seconds)
    if outcome == "success":
        last_success.labels(task).set(time.time())


def _begins(*, task_id: str, task: Any, **_rest: object) -> None:
    _begun[task_id] = time.monotonic()
    runs.labels(task.name, "failure")  # there from the first run, so that the first failure is seen as an increase


def _ended(*, task_id: str, task: Any, state: str | None = None, **_rest: object) -> None:
    begun = _begun.pop(task_id, None)
    seconds = None if begun is None else time.monotonic() - begun
    count_run(task.name, OUTCOMES.get(state or "", "unknown"), seconds)

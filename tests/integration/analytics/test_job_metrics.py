"""What /metrics says of jobs wherever they run: the schedule and the log of runs, read from the database."""

from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from analytics import exposition_jobs
from analytics.exposition_jobs import families
from analytics.models import JobRun
from analytics.schedule import install, jobs

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _schedule() -> None:
    PeriodicTask.objects.all().delete()
    JobRun.objects.all().delete()
    install()


def ran(job: str, outcome: str, minutes_ago: float) -> None:
    at = timezone.now() - timedelta(minutes=minutes_ago)
    JobRun.objects.create(job=job, instance="jobs:1", started_at=at, finished_at=at, outcome=outcome)


def shown() -> dict[str, dict[str, float]]:
    return {family.name: {each.labels["name"]: each.value for each in family.samples} for family in families()}


def minutes_since_success(job: str) -> float:
    since = timezone.now().timestamp() - shown()["relay_job_last_success_timestamp_seconds"][job]
    return round(since / 60, 1)


def test_every_job_has_its_interval_in_seconds() -> None:
    changed = PeriodicTask.objects.get(name="roll-up")
    changed.interval = IntervalSchedule.objects.create(every=2, period="hours")
    changed.save()

    intervals = shown()["relay_job_interval_seconds"]

    assert set(intervals) == {job.name for job in jobs()}
    assert intervals["prune-change-log"] == 300
    assert intervals["roll-up"] == 7_200


def test_a_run_that_failed_or_still_runs_is_no_success() -> None:
    ran("prune-change-log", JobRun.Outcome.DONE, 60)
    ran("prune-change-log", JobRun.Outcome.FAILED, 50)
    ran("prune-change-log", JobRun.Outcome.KILLED, 40)
    ran("prune-change-log", JobRun.Outcome.RUNNING, 1)

    assert minutes_since_success("prune-change-log") == 60


def test_a_run_that_was_skipped_is_none_to_be_told_of() -> None:
    ran("refresh-popular_events", JobRun.Outcome.FAILED, 5)
    ran("refresh-popular_events", JobRun.Outcome.SKIPPED, 2)

    assert minutes_since_success("refresh-popular_events") == 2


def test_a_job_without_a_success_counts_from_when_runs_are_known() -> None:
    ran("roll-up", JobRun.Outcome.DONE, 90)
    ran("prune-change-log", JobRun.Outcome.FAILED, 5)

    assert minutes_since_success("prune-change-log") == 90


def test_a_store_whose_jobs_never_ran_counts_from_when_it_was_made() -> None:
    assert minutes_since_success("roll-up") >= 0


def test_a_job_that_is_switched_off_has_no_figures_nor_has_an_entry_of_the_operator() -> None:
    PeriodicTask.objects.filter(name="roll-up").update(enabled=False)
    every = IntervalSchedule.objects.create(every=5, period="seconds")
    PeriodicTask.objects.create(name="my own", task="my.own", interval=every)

    assert set(shown()["relay_job_interval_seconds"]) == {job.name for job in jobs()} - {"roll-up"}


def test_the_metrics_are_left_out_while_the_database_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def cursor(self) -> None:
            raise DatabaseError("gone")

        def close(self) -> None:
            """As a connection."""

    monkeypatch.setattr(exposition_jobs, "connection", Gone())

    assert list(families()) == []

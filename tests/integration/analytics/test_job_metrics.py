"""What /metrics says of jobs wherever they run: the schedule and the log of runs, read from the database."""

from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

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


def ran(job: str, outcome: str, minutes_ago: float, finished_minutes_ago: float | None = None) -> None:
    began = timezone.now() - timedelta(minutes=minutes_ago)
    ended = began if finished_minutes_ago is None else timezone.now() - timedelta(minutes=finished_minutes_ago)
    JobRun.objects.create(job=job, instance="jobs:1", started_at=began, finished_at=ended, outcome=outcome)


def shown() -> dict[str, dict[str, float]]:
    return {family.name: {each.labels["name"]: each.value for each in family.samples} for family in families()}


def minutes_since_success(job: str) -> float:
    since = timezone.now().timestamp() - shown()["relay_job_last_success_timestamp_seconds"][job]
    return round(since / 60, 1)


def made() -> float:
    """When the store was made, in Unix seconds."""
    first = MigrationRecorder.Migration.objects.earliest("applied")
    return float(first.applied.timestamp())


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


def test_a_view_whose_refresh_always_times_out_is_told_of_though_each_second_run_is_skipped() -> None:
    ran("refresh-popular_events", JobRun.Outcome.DONE, 60)
    for minutes_ago in range(50, 0, -10):
        ran("refresh-popular_events", JobRun.Outcome.FAILED, minutes_ago)
        ran("refresh-popular_events", JobRun.Outcome.SKIPPED, minutes_ago - 5)

    assert minutes_since_success("refresh-popular_events") == 60


def test_runs_of_a_clock_that_was_ahead_are_not_the_newest_once_it_is_right() -> None:
    ran("roll-up", JobRun.Outcome.DONE, 60)
    ran("roll-up", JobRun.Outcome.DONE, -120)
    ran("roll-up", JobRun.Outcome.FAILED, 1)

    assert minutes_since_success("roll-up") == 60


def test_a_run_during_which_the_clock_was_set_ahead_is_no_success_in_the_future() -> None:
    ran("roll-up", JobRun.Outcome.DONE, 60)
    ran("roll-up", JobRun.Outcome.DONE, 50, finished_minutes_ago=-120)

    assert minutes_since_success("roll-up") == 60


def test_a_run_during_which_the_clock_was_set_right_hides_no_later_success() -> None:
    ran("roll-up", JobRun.Outcome.DONE, -120, finished_minutes_ago=60)
    ran("roll-up", JobRun.Outcome.DONE, 5)

    assert minutes_since_success("roll-up") == 5


def test_runs_of_a_clock_that_was_ahead_do_not_say_since_when_runs_are_known() -> None:
    ran("roll-up", JobRun.Outcome.DONE, -120)
    ran("prune-change-log", JobRun.Outcome.FAILED, -110)

    assert shown()["relay_job_last_success_timestamp_seconds"]["prune-change-log"] == made()


def test_a_job_without_a_success_counts_from_when_runs_are_known() -> None:
    ran("roll-up", JobRun.Outcome.DONE, 90)
    ran("prune-change-log", JobRun.Outcome.FAILED, 5)

    assert minutes_since_success("prune-change-log") == 90


def test_a_store_whose_jobs_never_ran_counts_from_when_it_was_made() -> None:
    assert shown()["relay_job_last_success_timestamp_seconds"]["roll-up"] == made()


def test_a_job_that_is_switched_off_has_no_figures_nor_has_an_entry_of_the_operator() -> None:
    PeriodicTask.objects.filter(name="roll-up").update(enabled=False)
    every = IntervalSchedule.objects.create(every=5, period="seconds")
    PeriodicTask.objects.create(name="my own", task="my.own", interval=every)

    assert set(shown()["relay_job_interval_seconds"]) == {job.name for job in jobs()} - {"roll-up"}


def test_a_job_that_the_operator_put_on_a_crontab_has_no_figures() -> None:
    PeriodicTask.objects.filter(name="roll-up").update(interval=None, crontab=CrontabSchedule.objects.create(hour="3"))

    assert {frozenset(values) for values in shown().values()} == {frozenset(job.name for job in jobs()) - {"roll-up"}}


def test_the_metrics_are_left_out_while_the_database_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def cursor(self) -> None:
            raise DatabaseError("gone")

        def close(self) -> None:
            """As a connection."""

    monkeypatch.setattr(exposition_jobs, "connection", Gone())

    assert list(families()) == []

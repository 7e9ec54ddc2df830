"""The schedule in the database: what the software puts there, and what it leaves to operators."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from pytest_django import Settings

from analytics import job_signals, schedule
from analytics.models import JobRun, ScheduleDefault
from analytics.registry import VIEWS
from analytics.schedule import FIRST_REFRESH_SECONDS, install, job_named, jobs
from relay.storage.store import current_store
from relayproject.celery import app

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty() -> None:
    PeriodicTask.objects.all().delete()
    ScheduleDefault.objects.all().delete()


def entry(name: str) -> PeriodicTask:
    return PeriodicTask.objects.get(name=name)


def every(seconds: int) -> IntervalSchedule:
    return IntervalSchedule.objects.create(every=seconds, period="seconds")


def test_every_job_is_in_it_with_a_task_that_exists() -> None:
    assert install() == len(list(jobs()))
    app.loader.import_default_modules()
    for found in PeriodicTask.objects.all():
        assert found.task in app.tasks
        assert found.enabled
        assert found.expire_seconds
    assert {view.job for view in VIEWS} < set(PeriodicTask.objects.values_list("name", flat=True))
    assert json.loads(entry("refresh-popular_events").args) == ["popular_events"]


def test_views_are_refreshed_soon_after_the_first_start() -> None:
    install()
    found = entry("refresh-popular_events")
    assert found.last_run_at is not None
    due = found.last_run_at + found.interval.schedule.run_every

    assert abs((due - timezone.now()).total_seconds() - FIRST_REFRESH_SECONDS) < 10
    assert entry("roll-up").last_run_at is None


def test_a_second_start_changes_nothing() -> None:
    install()
    before = list(PeriodicTask.objects.values_list("pk", "date_changed"))
    assert install() == 0
    assert list(PeriodicTask.objects.values_list("pk", "date_changed")) == before


def test_what_an_operator_changed_stays() -> None:
    install()
    slower = entry("roll-up")
    slower.interval, slower.enabled = every(99), False
    slower.save()
    entry("note-minute").delete()
    install()
    assert (entry("roll-up").interval.every, entry("roll-up").enabled) == (99, False)
    assert not PeriodicTask.objects.filter(name="note-minute").exists()


def test_an_unchanged_entry_follows_the_settings(settings: Settings) -> None:
    install()
    settings.JOBS = {**settings.JOBS, "sweep-expired-events": ("relay.tasks.sweep_expired", 1.5, "")}
    assert install() == 1
    assert (entry("sweep-expired-events").interval.every, install()) == (1_500_000, 0)


def test_an_entry_that_an_operator_changed_does_not_follow_them(settings: Settings) -> None:
    install()
    slower = entry("sweep-expired-events")
    slower.interval = every(99)
    slower.save()
    settings.JOBS = {**settings.JOBS, "sweep-expired-events": ("relay.tasks.sweep_expired", 5.0, "")}
    install()
    assert entry("sweep-expired-events").interval.every == 99


def test_an_entry_with_the_name_of_a_new_job_is_the_operators() -> None:
    mine = PeriodicTask.objects.create(name="roll-up", task="analytics.tasks.roll_up", interval=every(7))
    install()
    assert entry("roll-up").interval == mine.interval


def test_a_job_can_be_sent_by_its_name() -> None:
    with pytest.raises(KeyError):
        schedule.send("no such job")
    schedule.send("refresh-store_growth")
    prefix = {"global_keyprefix": current_store().broker_prefix}
    with current_app.connection_for_read(transport_options=prefix) as broker:
        message = broker.SimpleQueue("celery").get(timeout=5)
    assert message.headers["task"] == "analytics.tasks.refresh"
    assert message.payload[0] == ["store_growth"]
    message.ack()


@pytest.fixture
def signals() -> Iterator[None]:
    job_signals.connect()
    yield
    job_signals._runs.clear()


@pytest.mark.usefixtures("signals")
def test_the_relays_own_jobs_are_in_the_run_log(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = app.tasks["relay.tasks.sweep_expired"]
    sweep.apply()
    monkeypatch.setattr("relay.storage.retention.sweep_expired", lambda now: 1 / 0)
    sweep.apply()
    done, failed = JobRun.objects.filter(job="sweep-expired-events").order_by("id")
    assert (done.outcome, done.rows) == ("done", 0)
    assert (failed.outcome, failed.error) == ("failed", "ZeroDivisionError: division by zero")


def test_every_job_of_the_operators_runs_and_says_so() -> None:
    app.loader.import_default_modules()
    for job in jobs():
        if job.task.startswith("analytics."):
            outcome: Any = app.tasks[job.task].apply(job.arguments)
            assert outcome.state == "SUCCESS", job.name
            assert JobRun.objects.filter(job=job_named(job.name).name).exists()


def test_the_clock_of_views_is_the_databases() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT analytics_now() = extract(epoch FROM now())::bigint")
        assert cursor.fetchone() == (True,)

"""The first page, the caches, the schedule and its runs, with real PostgreSQL and Valkey behind them."""

import json
import os
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import redis
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

from analytics import schedule
from analytics.history import QUEUE
from analytics.models import JobRun, Minute
from relay import conf
from relay.caching.registry import CacheFigures
from relay.services.figures import WORKERS, key
from relay.services.worker_figures import LayerRate, WorkerFigures
from relay.storage.store import current_store

pytestmark = pytest.mark.django_db

NOBODY_LISTENS = "redis://127.0.0.1:1"
FIGURES = "/admin/dashboard/figures/"
HISTORY = "/admin/dashboard/history/"
CACHES = "/admin/analytics/cache/"
JOBS = "/admin/django_celery_beat/periodictask/"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create(username="operator", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def cache() -> Iterator["redis.Redis"]:
    """The real one, without workers and jobs before and after."""
    client = redis.from_url(os.environ["REDIS_URL"])
    client.delete(WORKERS, *client.scan_iter(f"relay.*.jobs.{QUEUE}"))
    yield client
    client.delete(WORKERS, *client.scan_iter(f"relay.*.jobs.{QUEUE}"))
    client.close()


@pytest.fixture
def worker(cache: "redis.Redis") -> WorkerFigures:
    """A worker on the board."""
    figures = WorkerFigures(
        connections=42,
        subscriptions=50,
        events_stored=7,
        events_per_second=1.5,
        position=1_234,
        started_at=time.time() - 60,
        instance="<relay>",
        worker="1",
        version="9.9",
        pid=77,
        caches=[CacheFigures("events", "L1", 12, 3_000, 9, 1, 0, {"size": 4})],
        layers={"L1": LayerRate(9.0, 10.0)},
        counts={"barrier_held": 98_765},
        alone=True,
    )
    cache.sadd(WORKERS, "w")
    cache.set(key("w"), msgspec.json.encode(figures), ex=60)
    return figures


@pytest.fixture
def no_cache(settings: Settings) -> Iterator[None]:
    settings.CACHE_URL = settings.BROKER_URL = NOBODY_LISTENS
    conf.config.cache_clear()
    yield
    conf.config.cache_clear()


def page(client: Client, path: str, **asked: str) -> str:
    answer = client.get(path, asked)
    assert answer.status_code == 200
    return answer.content.decode()


def figures(client: Client) -> Any:
    answer = client.get(FIGURES)
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    return json.loads(answer.content)


def noted() -> list[str]:
    return [f"{entry.object_repr}: {entry.get_change_message()}" for entry in LogEntry.objects.order_by("pk")]


def test_the_first_page_and_its_script_tell_what_the_workers_say(operator: Client, worker: WorkerFigures) -> None:
    html, found = page(operator, "/admin/"), figures(operator)

    assert 'data-figure="connections">42<' in html
    assert "&lt;relay&gt;" in html
    assert found["figures"]["position"] == "1,234"
    assert found["tables"]["workers"][0]["cells"][:4] == ["<relay>", "1", "77", "9.9"]
    assert (found["level"], found["said"]) == ("good", "All is well.")


def test_with_an_empty_database_and_nobody_on_the_board_there_is_a_page(operator: Client, cache: "redis.Redis") -> None:
    html = page(operator, "/admin/")

    assert "No worker has said anything in the last five seconds." in html
    assert "Nothing was counted in the last 24 hours." in html


def test_with_the_cache_away_there_is_a_page_that_says_so(operator: Client, no_cache: None) -> None:
    assert "The cache does not answer" in page(operator, "/admin/")
    assert "The cache does not answer" in page(operator, CACHES)
    assert figures(operator)["level"] == "bad"


@pytest.mark.parametrize("path", [FIGURES, HISTORY])
def test_a_script_that_is_signed_out_is_told_so(client: Client, path: str) -> None:
    assert client.get(path).status_code == 403


def test_an_operator_without_the_permission_sees_the_lists_and_no_figures(client: Client) -> None:
    user = User.objects.create(username="junior", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_event"))
    client.force_login(user)

    html = page(client, "/admin/")

    assert 'href="/admin/relay/event/"' in html
    assert "data-figure" not in html
    assert "/admin/analytics/cache/" not in html
    assert client.get(FIGURES).status_code == client.get(CACHES).status_code == 403


@pytest.mark.parametrize("period, points, back", [("hour", 60, 5), ("day", 288, 300), ("month", 360, 7_200)])
def test_the_charts_have_a_value_where_a_minute_was_written_and_none_elsewhere(
    operator: Client, period: str, points: int, back: int
) -> None:
    Minute.objects.create(
        minute=(timezone.now() - timedelta(minutes=back)).replace(second=0, microsecond=0),
        connections=12,
        query_p95_seconds=0.25,
        hit_rates={"L1": 80.0},
    )
    found = json.loads(page(operator, HISTORY, period=period))
    lines = {f"{name}/{line['label']}": line["values"] for name, chart in found["charts"].items() for line in chart}

    assert len(found["labels"]) == points
    assert [value for value in lines["connections/connections"] if value is not None] == [12]
    assert [value for value in lines["latency/query"] if value is not None] == [250]
    assert [value for value in lines["hits/L1"] if value is not None] == [80]
    assert set(lines["hits/L2"]) == {None}


def test_another_period_is_not_there(operator: Client) -> None:
    assert operator.get(HISTORY, {"period": "year"}).status_code == 404


def test_caches_are_told_together_and_by_worker(operator: Client, worker: WorkerFigures) -> None:
    html = page(operator, CACHES)

    assert "&lt;relay&gt;, worker 1" in html
    assert "90.0 %" in html
    assert "size 4" in html
    assert "name=events&amp;layer=L1" in html


def test_what_is_counted_around_the_caches_is_told_in_words(operator: Client, worker: WorkerFigures) -> None:
    html = page(operator, CACHES)

    assert "OKs were held back because the shared cache could not be told</td><td>98,765</td>" in html
    assert "Single flight" in html
    assert "&lt;relay&gt; has the store for itself" in html


def test_clearing_is_asked_before(operator: Client, worker: WorkerFigures) -> None:
    html = page(operator, f"{CACHES}clear/", name="events", layer="L1")

    assert "Every instance empties the cache “events” of L1." in html
    assert noted() == []


@pytest.mark.parametrize("layer, told", [("L1", "within a second"), ("L2", "entries of L2"), ("", "entries of L2")])
def test_a_cache_is_cleared_and_it_is_noted(operator: Client, cache: "redis.Redis", layer: str, told: str) -> None:
    html = operator.post(f"{CACHES}clear/", {"name": "events", "layer": layer}, follow=True).content.decode()

    assert f"Cleared the cache “events” of {layer or 'every layer'}" in html
    (entry,) = noted()
    assert told in entry


def test_with_the_cache_away_nothing_is_cleared_and_that_is_told(operator: Client, no_cache: None) -> None:
    html = operator.post(f"{CACHES}clear/", {"layer": "L2"}, follow=True).content.decode()

    assert "Nothing was cleared" in html
    assert noted() == []


@pytest.mark.parametrize("asked", [{"name": "<b>"}, {"layer": "L3"}])
def test_what_is_no_cache_cannot_be_cleared(operator: Client, asked: dict[str, str]) -> None:
    assert operator.post(f"{CACHES}clear/", asked).status_code == 404


def test_clearing_takes_a_permission(client: Client) -> None:
    client.force_login(User.objects.create(username="junior", is_staff=True))

    assert client.post(f"{CACHES}clear/", {"layer": "L1"}).status_code == 403


def test_the_schedule_is_shown_with_the_last_run_of_each_job(operator: Client) -> None:
    schedule.install()
    began = timezone.now() - timedelta(hours=3)
    JobRun.objects.create(job="roll-up", instance="a:1", started_at=began, outcome="failed", error="<b>broken</b>")

    html = page(operator, JOBS)

    assert "?job=roll-up" in html
    assert "&lt;b&gt;broken&lt;/b&gt;" in html
    assert "every 15 s" in html
    assert "&lt;b&gt;broken&lt;/b&gt;" in page(
        operator, "/admin/analytics/jobrun/", job="roll-up", outcome__exact="failed"
    )
    assert figures(operator)["tables"]["jobs"][-2]["cells"][:3] == ["roll-up", "failed", "3 h ago"]


def test_a_job_is_run_now_switched_off_and_on_and_all_of_it_is_noted(operator: Client, cache: "redis.Redis") -> None:
    schedule.install()
    chosen = PeriodicTask.objects.get(name="refresh-popular_events")

    for action in ("run_selected", "switch_off", "switch_on"):
        answer = operator.post(JOBS, {"action": action, "_selected_action": [chosen.pk]})
        assert answer.status_code == 302

    (sent,) = [json.loads(message) for message in cache.lrange(current_store().broker_prefix + QUEUE, 0, -1)]
    assert sent["headers"]["task"] == "analytics.tasks.refresh"
    assert "popular_events" in sent["headers"]["argsrepr"]
    assert [text.rpartition(": ")[2] for text in noted()] == ["Asked for a run.", "Switched off.", "Switched on."]


def test_a_job_has_a_page_where_its_schedule_is_changed(operator: Client) -> None:
    schedule.install()
    entry = PeriodicTask.objects.get(name="roll-up")
    form = {"name": entry.name, "task": entry.task, "interval": entry.interval_id, "args": "[]", "kwargs": "{}"}

    html = page(operator, f"{JOBS}{entry.pk}/change/")
    answer = operator.post(f"{JOBS}{entry.pk}/change/", {**form, "description": "less often"})

    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert answer.status_code == 302
    assert PeriodicTask.objects.get(name="roll-up").description == "less often"
    assert len(noted()) == 1


@pytest.mark.parametrize("path", ["intervalschedule", "crontabschedule"])
def test_schedules_have_their_lists(operator: Client, path: str) -> None:
    schedule.install()

    assert page(operator, f"/admin/django_celery_beat/{path}/")
    assert page(operator, f"/admin/django_celery_beat/{path}/add/")


@pytest.mark.parametrize(
    "name", ["popularevent", "trendinghashtag", "activeauthor", "reportedtarget", "storegrowth", "jobrun"]
)
def test_what_jobs_write_is_read_only_here(operator: Client, name: str) -> None:
    assert operator.post(f"/admin/analytics/{name}/add/", {}).status_code == 403
    assert page(operator, f"/admin/analytics/{name}/")


def test_a_view_is_refreshed_now_by_a_post_alone_and_it_is_noted(operator: Client, cache: "redis.Redis") -> None:
    path = "/admin/analytics/popularevent/refresh/"

    assert operator.get(path).status_code == 405
    assert operator.post(path).status_code == 302

    assert cache.llen(current_store().broker_prefix + QUEUE) == 1
    assert noted() == ["Popular events: Asked for a refresh."]


def test_no_page_shows_a_secret(operator: Client, settings: Settings, worker: WorkerFigures) -> None:
    User.objects.filter(username="operator").update(password="pbkdf2_sha256$1$salt$VERY-SECRET-HASH")
    user = User.objects.get(username="operator")
    operator.force_login(user)
    paths = ["/admin/", CACHES, JOBS, f"/admin/auth/user/{user.pk}/change/", "/admin/auth/user/", FIGURES]
    secrets = ["VERY-SECRET-HASH", settings.SECRET_KEY, settings.DATABASE_URL, settings.REDIS_URL]

    everything = "".join(page(operator, path) for path in paths)

    assert [secret for secret in secrets if secret in everything] == []

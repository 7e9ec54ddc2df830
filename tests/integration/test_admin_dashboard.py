"""Dashboard, caches, jobs and job runs in the admin, with real PostgreSQL and Valkey."""

import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import redis
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

from analytics import operator_groups, schedule
from analytics.history import QUEUE
from analytics.models import JobRun, Minute
from analytics.navigation import SECTIONS, Entry
from analytics.operator_groups import GROUPS
from relay import conf
from relay.caching.registry import CacheFigures
from relay.services.cache_server import cache_server_now
from relay.services.figures import key, workers_key
from relay.services.worker_figures import LayerRate, WorkerFigures
from relay.storage.store import current_store
from tests.integration.admin_pages import page

pytestmark = pytest.mark.django_db

UNREACHABLE_URL = "redis://127.0.0.1:1"
FIGURES = "/admin/dashboard/figures/"
HISTORY = "/admin/dashboard/history/"
CACHES = "/admin/analytics/cache/"
SETTINGS = "/admin/analytics/setting/"
RECORDS = [
    entry
    for _, entries in SECTIONS
    for entry in entries
    if entry.model
    not in (
        "analytics.cache",
        "analytics.slowquery",
        "analytics.storetable",
        "analytics.setting",
        "auth.user",
        "auth.group",
    )
]
JOBS = "/admin/django_celery_beat/periodictask/"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create(username="operator", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def cache(db: None) -> Iterator["redis.Redis"]:
    """The shared cache, without workers and jobs before and after."""
    client = redis.from_url(os.environ["REDIS_URL"])
    workers = workers_key(current_store().name)
    client.delete(workers, *client.scan_iter(f"relay.*.jobs.{QUEUE}"))
    yield client
    client.delete(workers, *client.scan_iter(f"relay.*.jobs.{QUEUE}"))
    client.close()


@pytest.fixture
def worker(cache: "redis.Redis") -> WorkerFigures:
    """A running worker's figures."""
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
        single_instance=True,
    )
    store = current_store().name
    cache.sadd(workers_key(store), "w")
    cache.set(key(store, "w"), msgspec.json.encode(figures), ex=60)
    return figures


@pytest.fixture
def no_cache(settings: Settings) -> Iterator[None]:
    settings.CACHE_URL = settings.BROKER_URL = UNREACHABLE_URL
    conf.config.cache_clear()
    yield
    conf.config.cache_clear()


def figures(client: Client) -> Any:
    answer = client.get(FIGURES)
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    return json.loads(answer.content)


def noted() -> list[str]:
    return [f"{entry.object_repr}: {entry.get_change_message()}" for entry in LogEntry.objects.order_by("pk")]


def test_dashboard_and_its_json_show_the_figures_of_the_workers(operator: Client, worker: WorkerFigures) -> None:
    html, found = page(operator, "/admin/"), figures(operator)

    assert 'data-figure="connections">42<' in html
    assert "&lt;relay&gt;" in html
    assert found["figures"]["position"] == "1,234"
    assert found["tables"]["workers"][0]["cells"][:4] == ["<relay>", "1", "77", "9.9"]
    assert (found["level"], found["summary"]) == ("good", "Healthy")


def test_the_dashboard_works_with_an_empty_database_and_without_workers(operator: Client, cache: "redis.Redis") -> None:
    html = page(operator, "/admin/")

    assert "No worker has reported in the last five seconds." in html
    assert "No events in the last 24 hours." in html


def test_without_the_shared_cache_the_pages_say_so(operator: Client, no_cache: None) -> None:
    assert "The shared cache does not answer" in page(operator, "/admin/")
    assert "The shared cache does not answer" in page(operator, CACHES)
    assert figures(operator)["level"] == "bad"


@pytest.mark.parametrize("path", [FIGURES, HISTORY])
def test_the_json_endpoints_answer_403_without_a_session(client: Client, path: str) -> None:
    assert client.get(path).status_code == 403


def test_an_operator_without_the_permission_sees_lists_but_no_dashboard(client: Client) -> None:
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


def test_an_unknown_period_is_not_found(operator: Client) -> None:
    assert operator.get(HISTORY, {"period": "year"}).status_code == 404


def test_caches_are_shown_in_total_and_by_worker(operator: Client, worker: WorkerFigures) -> None:
    html = page(operator, CACHES)

    assert "&lt;relay&gt;, worker 1" in html
    assert "90.0 %" in html
    assert "size 4" in html
    assert "name=events&amp;layer=L1" in html


def test_counters_of_barrier_and_single_flight_are_labelled(operator: Client, worker: WorkerFigures) -> None:
    html = page(operator, CACHES)

    assert re.search("OKs delayed: lease revoked <span[^>]*>[^<]*</span></td><td>98,765</td>", html)
    assert "Single flight" in html
    assert "&lt;relay&gt; holds the single-instance lease" in html


def test_clearing_asks_for_confirmation(operator: Client, worker: WorkerFigures) -> None:
    html = page(operator, f"{CACHES}clear/", name="events", layer="L1")

    assert "Every instance clears the cache “events” of L1." in html
    assert noted() == []


@pytest.mark.parametrize(
    "layer, expected", [("L1", "within two seconds"), ("L2", "entries of L2"), ("", "entries of L2")]
)
def test_clearing_a_cache_is_logged(operator: Client, cache: "redis.Redis", layer: str, expected: str) -> None:
    html = operator.post(f"{CACHES}clear/", {"name": "events", "layer": layer}, follow=True).content.decode()

    assert f"Cleared the cache “events”{f' of {layer}' if layer else ''}: " in html
    (entry,) = noted()
    assert expected in entry


def test_without_the_shared_cache_nothing_is_cleared_and_an_error_is_shown(operator: Client, no_cache: None) -> None:
    html = operator.post(f"{CACHES}clear/", {"layer": "L2"}, follow=True).content.decode()

    assert "Nothing was cleared" in html
    assert noted() == []


@pytest.mark.parametrize("asked", [{"name": "<b>"}, {"layer": "L3"}])
def test_an_unknown_cache_cannot_be_cleared(operator: Client, asked: dict[str, str]) -> None:
    assert operator.post(f"{CACHES}clear/", asked).status_code == 404


def test_clearing_needs_a_permission(client: Client) -> None:
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
    assert ["roll-up", "failed", "3 h ago"] in [row["cells"][:3] for row in figures(operator)["tables"]["jobs"]]


def test_running_disabling_and_enabling_a_job_is_logged(operator: Client, cache: "redis.Redis") -> None:
    schedule.install()
    chosen = PeriodicTask.objects.get(name="refresh-popular_events")

    for action in ("run_selected", "disable", "enable"):
        answer = operator.post(JOBS, {"action": action, "_selected_action": [chosen.pk]})
        assert answer.status_code == 302

    (sent,) = [json.loads(message) for message in cache.lrange(current_store().broker_prefix + QUEUE, 0, -1)]
    assert sent["headers"]["task"] == "analytics.tasks.refresh"
    assert "popular_events" in sent["headers"]["argsrepr"]
    assert [text.rpartition(": ")[2] for text in noted()] == ["Run requested.", "Disabled.", "Enabled."]


def test_a_jobs_schedule_is_changed_on_its_page(operator: Client) -> None:
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
def test_lists_of_views_and_job_runs_are_read_only(operator: Client, name: str) -> None:
    assert operator.post(f"/admin/analytics/{name}/add/", {}).status_code == 403
    assert page(operator, f"/admin/analytics/{name}/")


def test_a_refresh_needs_a_post_and_is_logged(operator: Client, cache: "redis.Redis") -> None:
    path = "/admin/analytics/popularevent/refresh/"

    assert operator.get(path).status_code == 405
    assert operator.post(path).status_code == 302

    assert cache.llen(current_store().broker_prefix + QUEUE) == 1
    assert noted() == ["Popular events: Refresh requested."]


def test_no_page_shows_a_secret(operator: Client, settings: Settings, worker: WorkerFigures) -> None:
    User.objects.filter(username="operator").update(password="pbkdf2_sha256$1$salt$VERY-SECRET-HASH")
    user = User.objects.get(username="operator")
    operator.force_login(user)
    paths = ["/admin/", CACHES, JOBS, f"/admin/auth/user/{user.pk}/change/", "/admin/auth/user/", FIGURES]
    secrets = ["VERY-SECRET-HASH", settings.SECRET_KEY, settings.DATABASE_URL, settings.REDIS_URL]

    everything = "".join(page(operator, path) for path in paths)

    assert [secret for secret in secrets if secret in everything] == []


@pytest.mark.parametrize(
    "entry", [entry for _, entries in SECTIONS for entry in entries], ids=lambda entry: entry.model
)
def test_a_list_has_the_name_of_its_menu_entry_in_its_heading(operator: Client, entry: Entry) -> None:
    html = page(operator, entry.link())

    breadcrumbs = html[html.index("<h1") : html.index("</h1>")]
    assert entry.plural.lower() in breadcrumbs.lower()


def test_an_empty_list_offers_nothing_that_cannot_be_created(operator: Client) -> None:
    html = page(operator, "/admin/analytics/jobrun/")

    assert "No job runs yet" in html
    assert "Add job run" not in html
    assert "The first one follows within a minute of the start." in html


@pytest.mark.parametrize("entry", RECORDS, ids=lambda entry: entry.model)
def test_an_empty_list_says_what_it_will_show(entry: Entry) -> None:
    assert admin.site._registry[apps.get_model(entry.model)].empty_help.endswith(".")  # type: ignore[attr-defined]


def test_a_view_that_was_never_refreshed_says_when_it_will_be(operator: Client) -> None:
    schedule.install()

    assert "The first refresh follows within 5 min" in page(operator, "/admin/analytics/popularevent/")


def test_a_view_names_its_next_refresh(operator: Client) -> None:
    schedule.install()
    JobRun.objects.create(
        job="refresh-popular_events", instance="a", started_at=datetime(2026, 1, 31, 9, 58, tzinfo=UTC), outcome="done"
    )

    assert "Refreshed every 5 min; next at 10:03 UTC." in page(operator, "/admin/analytics/popularevent/")


def test_the_settings_are_shown_to_those_who_may_see_them(operator: Client, client: Client) -> None:
    html = page(operator, SETTINGS)

    assert "RELAY_MAX_SUBSCRIPTIONS" in html
    assert "https://github.com/relay-platform/relay/blob/main/docs/settings.md#limits-that-nip-11-publishes" in html
    client.force_login(User.objects.create(username="viewer", is_staff=True))
    assert client.get(SETTINGS).status_code == 403


@pytest.mark.parametrize(
    "group, seen, refused",
    [
        ("Viewer", ["/admin/relay/event/", CACHES, FIGURES], [SETTINGS, "/admin/auth/user/", f"{CACHES}clear/"]),
        ("Moderator", ["/admin/relay/event/", "/admin/admin/logentry/"], [SETTINGS, "/admin/auth/user/"]),
        ("Administrator", [SETTINGS, "/admin/auth/user/", f"{CACHES}clear/", "/admin/axes/accessattempt/"], []),
    ],
)
def test_a_group_opens_its_pages_and_no_others(client: Client, group: str, seen: list[str], refused: list[str]) -> None:
    operator_groups.install()
    user = User.objects.create(username="member", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    client.force_login(user)

    assert {client.get(path).status_code for path in seen} == {200}
    assert [client.get(path).status_code for path in refused] == [403] * len(refused)


def test_groups_are_made_once_and_keep_what_operators_added() -> None:
    operator_groups.install()
    viewer = Group.objects.get(name="Viewer")
    viewer.permissions.add(Permission.objects.get(codename="view_setting"))
    before = set(viewer.permissions.all())

    operator_groups.install()

    assert set(viewer.permissions.all()) == before
    assert Group.objects.count() == len(GROUPS)


@pytest.mark.parametrize("codes", GROUPS.values(), ids=GROUPS.keys())
def test_every_permission_of_a_group_exists(codes: tuple[str, ...]) -> None:
    assert len(operator_groups.permissions(codes)) == len(set(codes))


def test_the_server_of_the_shared_cache_tells_keys_and_memory(cache: "redis.Redis") -> None:
    cache.set("relay:test:counted", "1", ex=60)
    found = cache_server_now(os.environ["REDIS_URL"])

    assert found is not None
    assert found.keys > 0
    assert found.memory_bytes > 0
    assert cache_server_now(UNREACHABLE_URL) is None

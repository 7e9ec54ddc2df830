"""The pages of slow queries and of tables and indexes in the admin."""

import os
import time
from collections.abc import Iterator

import msgspec
import pytest
import redis
from django.contrib.auth.models import Group, User
from django.db import DatabaseError
from django.test import Client

from analytics import operator_groups
from analytics.admin import database
from relay.services.figures import key, workers_key
from relay.services.worker_figures import WorkerFigures
from relay.storage.slow_queries import SlowShape
from relay.storage.store import current_store
from tests.integration.admin_pages import page

pytestmark = pytest.mark.django_db

SLOW_QUERIES = "/admin/analytics/slowquery/"
DATABASE = "/admin/analytics/storetable/"
SHAPE = SlowShape("kinds:1 #t:<10> limit:100", 3, [0] * 7 + [4, 0, 0, 0, 0, 1], 7_600.0, 7_000.0, time.time())


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create(username="operator", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def workers() -> Iterator[None]:
    """Two workers that have seen the same shape."""
    client = redis.from_url(os.environ["REDIS_URL"])
    store = current_store().name
    client.delete(workers_key(store))
    for name in ("a", "b"):
        figures = WorkerFigures(1, 1, 1, 0.0, 1, time.time(), worker=name, slow_queries=[SHAPE])
        client.sadd(workers_key(store), name)
        client.set(key(store, name), msgspec.json.encode(figures), ex=60)
    yield
    client.delete(workers_key(store), key(store, "a"), key(store, "b"))
    client.close()


def test_slow_queries_are_summed_over_workers_and_escaped(operator: Client, workers: None) -> None:
    html = page(operator, SLOW_QUERIES)

    assert html.count("kinds:1 #t:&lt;10&gt; limit:100") == 1
    assert 'data-label="Slow">10<' in html
    assert 'data-label="Longest">7.00 s<' in html
    assert 'data-label="Stopped">6<' in html


def test_without_slow_queries_the_page_says_so(operator: Client) -> None:
    assert "No query ran longer than 100 ms" in page(operator, SLOW_QUERIES)


def test_the_database_page_shows_tables_indexes_and_what_they_serve(operator: Client) -> None:
    html = page(operator, DATABASE)

    assert "relay_event_author_kind" in html
    assert "whether an event has a tag" in html
    assert "<code>relay_change</code>" in html or "relay_change (" in html


def test_a_database_that_does_not_answer_in_time_is_said(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def late() -> None:
        raise DatabaseError("canceling statement due to statement timeout")

    monkeypatch.setattr(database, "store_figures", late)

    assert "canceling statement due to statement timeout" in page(operator, DATABASE)


@pytest.mark.parametrize("path", [SLOW_QUERIES, DATABASE])
def test_viewers_see_the_pages_and_others_do_not(client: Client, path: str) -> None:
    operator_groups.install()
    viewer = User.objects.create(username="viewer", is_staff=True)
    client.force_login(viewer)
    assert client.get(path).status_code == 403

    viewer.groups.add(Group.objects.get(name="Viewer"))

    assert client.get(path).status_code == 200

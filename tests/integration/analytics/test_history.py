"""The minute history: one row a minute from any worker, from what the workers say, and read back in steps."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import redis
from django.db import connection
from pytest_django import Settings

from analytics import history, pruning
from analytics.history import PERIODS, Point, note_minute, points
from analytics.models import Minute
from relay import conf
from relay.services.figures import key, workers_key
from relay.services.worker_figures import HistogramFigures, LayerRate, PoolFigures, WorkerFigures
from relay.storage.store import current_store

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 23, 12, 30, 10, tzinfo=UTC)


class PublishedFigures:
    """Workers that say something, in the cache of the tests."""

    def __init__(self) -> None:
        self.cache: Any = redis.from_url(conf.config().cache_url)
        self.store = current_store().name

    def show(self, *workers: WorkerFigures) -> None:
        self.clear()
        for number, worker in enumerate(workers):
            self.cache.sadd(workers_key(self.store), f"test-{number}")
            self.cache.set(key(self.store, f"test-{number}"), msgspec.json.encode(worker), ex=60)

    def clear(self) -> None:
        for name in self.cache.smembers(workers_key(self.store)):
            self.cache.delete(key(self.store, name.decode()))
        self.cache.delete(workers_key(self.store))


@pytest.fixture
def published(db: None) -> Iterator[PublishedFigures]:
    conf.config.cache_clear()
    made = PublishedFigures()
    made.clear()
    yield made
    made.clear()
    made.cache.close()
    conf.config.cache_clear()


def worker(**figures: Any) -> WorkerFigures:
    given = {"connections": 5, "subscriptions": 7, "events_stored": 9, "events_per_second": 2.0, "position": 3}
    return WorkerFigures(**{**given, "started_at": 1.0, **figures})


def seen() -> Minute:
    return Minute.objects.get(minute=AT.replace(second=0))


def test_a_minute_is_the_sum_of_the_workers(published: PublishedFigures) -> None:
    slow = HistogramFigures([0.1, 1.0], [0, 100, 0], 50.0)
    quick = HistogramFigures([0.1, 1.0], [900, 0, 0], 9.0)
    published.show(
        worker(recent={"query/req/miss": slow, "ok": quick}, layers={"L1": LayerRate(1.0, 2.0)}, memory={"rss": 10}),
        worker(recent={"query/count/hit": quick}, pools={"read": PoolFigures(2, 1, 3)}, cpu_percent=30.0),
    )
    assert note_minute(AT) == 2
    minute = seen()
    assert (minute.workers, minute.connections, minute.events_per_second, minute.samples) == (2, 10, 4.0, 1)
    assert (minute.pool_used, minute.pool_waiting, minute.cpu_percent, minute.memory_bytes) == (2, 3, 30.0, 10)
    assert minute.hit_rates == {"L1": 50.0}
    assert minute.query_p95_seconds == pytest.approx(0.55)
    assert minute.ok_p95_seconds == pytest.approx(0.095)
    assert minute.jobs_waiting is not None


def test_a_minute_that_is_written_again_is_still_one(published: PublishedFigures) -> None:
    published.show(worker(connections=10, lag_seconds=3.0))
    note_minute(AT)
    published.show(worker(connections=20, lag_seconds=1.0))
    note_minute(AT + timedelta(seconds=20))
    published.show(worker(connections=60, lag_seconds=0.0))
    note_minute(AT + timedelta(seconds=40))
    note_minute(AT + timedelta(seconds=60))
    assert Minute.objects.count() == 2
    assert (seen().samples, seen().connections, seen().position_lag_seconds) == (3, 30.0, 3.0)


def test_without_a_worker_nothing_is_known(published: PublishedFigures) -> None:
    assert note_minute(AT) == 0
    assert (seen().workers, seen().connections, seen().query_p95_seconds) == (None, None, None)
    assert seen().events is not None


def test_servers_that_are_away_stop_nothing(published: PublishedFigures, settings: Settings) -> None:
    settings.CACHE_URL = settings.BROKER_URL = "redis://127.0.0.1:1"
    conf.config.cache_clear()
    assert note_minute(AT) == 0
    assert seen().jobs_waiting is None


@pytest.mark.parametrize("period", PERIODS)
def test_a_chart_has_every_step_and_gaps_where_nothing_was_seen(period: str) -> None:
    seconds, step = PERIODS[period]
    Minute.objects.create(minute=AT.replace(second=0), connections=4, ok_p95_seconds=0.2, hit_rates={"L1": 60.0})
    Minute.objects.create(minute=AT.replace(second=0) - timedelta(seconds=step), connections=8)
    found = points(period, AT)
    assert len(found) == seconds // step
    assert [point.connections for point in found[-2:]] == [8, 4]
    assert (found[-1].ok_p95_seconds, found[-1].hit_rate_l1, found[-1].hit_rate_l2) == (0.2, 60.0, None)
    assert [(b.at - a.at).total_seconds() for a, b in pairwise(found)] == [step] * (len(found) - 1)
    assert all(point.connections is None for point in found[:-2])


def test_a_step_of_several_minutes_is_their_mean_and_their_worst() -> None:
    first = AT.replace(minute=30, second=0)
    Minute.objects.create(minute=first, connections=4, query_p95_seconds=0.1, events=5)
    Minute.objects.create(minute=first + timedelta(minutes=1), connections=8, query_p95_seconds=0.4, events=9)
    last: Point = points("day", first + timedelta(minutes=3))[-1]
    assert (last.connections, last.query_p95_seconds, last.events) == (6, 0.4, 9)


def test_the_columns_of_a_point_are_those_of_a_minute() -> None:
    columns = {field.name for field in Minute._meta.get_fields()} - {"minute", "samples", "hit_rates", "position"}
    points_columns = {name for name in Point.__slots__ if not name.startswith("hit_rate")} - {"at"}
    assert points_columns == columns


def test_after_thirty_days_a_minute_goes() -> None:
    now = datetime.now(UTC)
    for days in (29, 31):
        Minute.objects.create(minute=now - timedelta(days=days))
    pruning.prune()
    assert [(now - minute.minute).days for minute in Minute.objects.all()] == [29]


def test_a_month_of_minutes_is_read_in_one_statement() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO analytics_minute (minute, samples, hit_rates) SELECT g, 1, '{}' "
            "FROM generate_series(%s - interval '40 days', %s, '1 minute') AS g",
            [AT.replace(second=0), AT.replace(second=0)],
        )
    assert len(points("month", AT)) == history.PERIODS["month"][0] // history.PERIODS["month"][1]

"""The dashboard's formatted figures and problems."""

from typing import Any

import pytest

from analytics.dashboard import number_format
from analytics.dashboard.cards import CARDS
from analytics.dashboard.charts import CHARTS
from analytics.dashboard.live import Live, Read, live
from analytics.models import Minute
from relay.caching.registry import CacheFigures
from relay.services.cache_server import CacheServer
from relay.services.figures import EMPTY, ClusterSnapshot, snapshot
from relay.services.worker_figures import HistogramFigures, LayerRate, PoolFigures, ReplicaFigures, WorkerFigures

NOW = 1_700_000_000.0


def worker(number: int = 1, **fields: object) -> WorkerFigures:
    given = {
        "connections": 10,
        "subscriptions": 20,
        "events_stored": 500,
        "events_per_second": 2.5,
        "position": 1_000 + number,
        "started_at": NOW - 3_725,
        "instance": "relay-1",
        "worker": str(number),
        "version": "1.2",
        "pid": 100 + number,
    }
    return WorkerFigures(**{**given, **fields})  # type: ignore[arg-type]


def shown(*workers: WorkerFigures, waiting: int | None = 0, **read: Any) -> Live:
    return live(snapshot(workers), Read(waiting, **read), NOW)


def test_figures_are_those_of_all_workers() -> None:
    found = shown(worker(1), worker(2, connections=5)).figures

    assert (found["connections"], found["events_per_second"], found["position"]) == ("15", "5.0", "1,002")
    assert found["workers"] == "2"


def test_every_card_has_its_figure_and_its_note() -> None:
    found = shown(worker(), newest=Minute(events=7, position=900, store_bytes=5)).figures

    assert {card.name for card in CARDS} | {card.note for card in CARDS} <= found.keys()


def test_p95_is_that_of_all_queries_however_they_were_answered() -> None:
    recent = {
        "query/req/none": HistogramFigures([0.1, 1.0], [90, 10, 0], 1.0),
        "query/req/l1": HistogramFigures([0.1, 1.0], [0, 100, 0], 1.0),
        "ok": HistogramFigures([0.1, 1.0], [1, 0, 0], 0.1),
    }
    found = shown(worker(recent=recent)).figures

    assert found["query_p95"] == "918 ms"
    assert found["query_count"] == "200 in the last minute"


def test_a_lookup_that_any_layer_answers_is_a_hit() -> None:
    layers = {"L1": LayerRate(60.0, 100.0), "L2": LayerRate(30.0, 40.0)}

    assert shown(worker(layers=layers)).figures["hit_rate"] == "90.0 %"
    assert shown(worker(layers=layers)).figures["hit_rate_by_layer"] == "L1 60.0 %, L2 75.0 %"


def test_layers_have_a_line_each() -> None:
    caches = [CacheFigures("events", "L1", 5, 2_000, 1, 1, 0, {}), CacheFigures("results", "L1", 2, 1_000, 1, 1, 0, {})]
    (row,) = shown(worker(caches=caches, layers={"L1": LayerRate(1.0, 2.0)})).tables["layers"]

    assert row.cells == ["L1", "50.0 %", "2.0", "7", "3 KB"]


def test_the_event_count_is_exact_or_unknown() -> None:
    assert shown(worker(), events=5_011).figures["events"] == "5,011"
    assert shown(worker(), newest=Minute(events=5_000, position=990)).figures["events"] == "–"


def test_the_shared_layer_shows_keys_and_memory_of_its_server() -> None:
    caches = [CacheFigures("results", "L2", 0, 0, 1, 1, 0, {})]
    known = shown(worker(caches=caches), cache_server=CacheServer(1_200, 3_000_000, 0)).tables["layers"]
    unknown = shown(worker(caches=caches)).tables["layers"]

    assert known[0].cells == ["L2", "–", "–", "1,200", "3.0 MB"]
    assert unknown[0].cells == ["L2", "–", "–", "–", "–"]


def test_every_chart_has_one_unit_and_rows_of_two_are_full() -> None:
    assert all(chart.unit for chart in CHARTS)
    assert len(CHARTS) % 2 == 0


def test_cards_fill_rows_of_two_three_four_and_six() -> None:
    assert [len(CARDS) % columns for columns in (2, 3, 4, 6)] == [0, 0, 0, 0]


def test_a_worker_has_a_line_with_its_version_and_uptime() -> None:
    (row,) = shown(worker(memory={"rss": 100_000_000})).tables["workers"]

    assert row.key == "relay-1/1/101"
    assert row.cells == [
        "relay-1", "1", "101", "1.2", "1 h 2 min", "10", "2.5", "0", "0 %", "100.0 MB", "healthy",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "fields, problem",
    [
        ({"database_up": False}, "database unreachable"),
        ({"bus_up": False}, "bus unreachable"),
        ({"shared_up": False}, "shared cache unreachable"),
        ({"ready": False}, "not ready"),
        ({"lag": 9, "lag_seconds": 6.0}, "replication lag"),
    ],
)
def test_a_workers_problem_is_reported(fields: dict[str, object], problem: str) -> None:
    found = shown(worker(1), worker(2, **fields))

    assert found.faults == [f"Worker 2 of relay-1: {problem}."]
    assert [row.level for row in found.tables["workers"]] == ["", "bad"]


def test_replicas_are_listed_with_their_state_lag_and_share_of_the_answers() -> None:
    replicas = {"replica_1": ReplicaFigures(True, "", 3, 0.25), "replica_2": ReplicaFigures(False, "does not answer")}
    answers = {"primary": 10, "replica_1": 90}
    found = shown(worker(1, replicas=replicas, by_label={"answers": answers}))

    assert [row.cells for row in found.tables["servers"]] == [
        ["primary", "in use", "", "", "10.0 %"],
        ["replica_1", "in use", "3", "250 ms", "90.0 %"],
        ["replica_2", "does not answer", "0", "0 ms", "0 %"],
    ]
    assert [row.level for row in found.tables["servers"]] == ["", "", "bad"]
    assert found.faults == ["Read replica replica_2 is not used: does not answer."]


def test_without_replicas_there_is_no_table_of_servers() -> None:
    assert shown(worker(1)).tables["servers"] == []


def test_an_exhausted_connection_pool_is_reported() -> None:
    pools = {"read": PoolFigures(8, 0, 6), "write": PoolFigures(1, 0, 0)}

    assert shown(worker(pools=pools)).faults == ["6 queries wait for a database connection (read)."]


def test_messages_of_another_store_are_reported_while_they_arrive() -> None:
    said = "Another epoch or generation of this store uses the Redis server: its messages on the bus are dropped."

    assert shown(worker(1), worker(2, foreign_per_second=0.9)).faults == [said]
    assert shown(worker(counts={"bus_foreign": 60})).faults == []


def test_without_problems_the_state_is_healthy() -> None:
    assert shown(worker()).summary == "Healthy"


def test_an_unreachable_cache_is_reported() -> None:
    alone = snapshot([worker()])
    found = live(ClusterSnapshot(alone.workers, alone.total, whole=False), Read(), NOW)

    assert found.faults == ["The shared cache does not answer: these are the figures of one worker."]
    assert (found.figures["workers"], found.figures["connections"]) == ("–", "10")
    assert live(EMPTY, Read(), NOW).as_json()["level"] == "bad"


def test_missing_workers_are_reported() -> None:
    found = shown(waiting=None)

    assert found.faults == [
        "No worker has reported in the last five seconds.",
        "The Celery broker does not answer.",
    ]


@pytest.mark.parametrize(
    "said, meant",
    [
        (number_format.count(None), "–"),
        (number_format.count(1_234_567), "1,234,567"),
        (number_format.count(12_345_678), "12.3 M"),
        (number_format.rate(0), "0"),
        (number_format.rate(0.25), "0.2"),
        (number_format.rate(1_234.5), "1,234"),
        (number_format.percent(0), "0 %"),
        (number_format.percent(99.94), "99.9 %"),
        (number_format.percent(100), "100 %"),
        (number_format.latency(0.0042), "4.2 ms"),
        (number_format.latency(0.42), "420 ms"),
        (number_format.latency(2.5), "2.50 s"),
        (number_format.duration(0.2), "0 s"),
        (number_format.duration(59), "59 s"),
        (number_format.duration(3_600), "1 h"),
        (number_format.duration(90_061), "1 d 1 h"),
        (number_format.duration(86_400 + 59), "1 d"),
        (number_format.size(999), "999 B"),
        (number_format.size(1_000), "1 KB"),
        (number_format.size(2_340_000), "2.3 MB"),
        (number_format.signed(0), "±0"),
        (number_format.signed(-1_200), "-1,200"),
    ],
)
def test_numbers_are_formatted(said: str, meant: str) -> None:
    assert said == meant

"""From the figures of workers to Prometheus's families."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from analytics.exposition import METRICS
from analytics.exposition_files import Files
from analytics.exposition_page import page
from relay.caching.registry import CacheFigures
from relay.services.worker_figures import (
    NOTHING,
    HistogramFigures,
    LayerRate,
    PoolFigures,
    ReplicaFigures,
    WorkerFigures,
    total,
)

Exposed = Callable[..., dict[str, Metric]]


@pytest.fixture
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Exposed:
    """What /metrics says of workers, by the names of metrics."""

    def of(*workers: WorkerFigures) -> dict[str, Metric]:
        folder: Path = tmp_path_factory.mktemp("metrics")
        for number, worker in enumerate(workers, 1):
            Files(folder, f"worker-{number}").write(worker)
        return {family.name: family for family in text_string_to_metric_families(page(folder).decode())}

    return of


LABELS = {metric.name.removesuffix("_total"): metric.labels for metric in METRICS}


def values(family: Metric) -> dict[tuple[str, ...], float]:
    """By the values of its labels."""
    return {tuple(sample.labels[name] for name in LABELS[family.name]): sample.value for sample in family.samples}


def test_every_metric_is_there_even_when_nothing_was_counted(exposed: Exposed) -> None:
    assert LABELS.keys() <= exposed().keys()


def test_no_name_is_given_twice() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_messages_are_told_apart_by_kind_and_none_is_counted_twice(exposed: Exposed) -> None:
    counts = {"messages": 20, "events_received": 7, "reqs": 5, "closes": 3, "events_stored": 4, "events_duplicate": 1}
    counts |= {"logins": 1, "logins_failed": 1, "challenges": 6}
    worker = replace(
        NOTHING,
        counts=counts | {"queries_answered": 4, "queries_failed": 1, "deliveries": 9, "stored_sent": 30},
        by_label={"rejections": {"invalid": 2}, "refusals": {"OK": 2, "NOTICE": 3, "CLOSED": 1}},
    )
    seen = values(exposed(worker)["nostr_websocket_messages"])

    assert seen == {
        ("in", "EVENT"): 9,
        ("in", "REQ"): 5,
        ("in", "CLOSE"): 3,
        ("in", "AUTH"): 2,
        ("in", "other"): 1,
        ("out", "EVENT"): 39,
        ("out", "OK"): 11,
        ("out", "AUTH"): 6,
        ("out", "EOSE"): 4,
        ("out", "CLOSED"): 2,
        ("out", "NOTICE"): 3,
    }


def test_an_event_of_a_wrong_shape_is_received_and_rejected(exposed: Exposed) -> None:
    seen = exposed(replace(NOTHING, by_label={"refusals": {"OK": 2}}))

    assert values(seen["nostr_events_received"]) == {(): 2}
    assert values(seen["nostr_events_rejected"])[("invalid",)] == 2


def test_buckets_of_a_histogram_are_cumulative_and_end_at_infinity(exposed: Exposed) -> None:
    worker = replace(NOTHING, histograms={"query/req/l1": HistogramFigures([0.5, 1.0], [2, 3, 4], 6.0)})
    samples = exposed(worker)["nostr_query_latency_seconds"].samples
    buckets = {sample.labels["le"]: sample.value for sample in samples if sample.name.endswith("_bucket")}

    assert buckets == {"0.5": 2, "1.0": 5, "+Inf": 9}
    assert {sample.labels["cache_hit"] for sample in samples} == {"l1"}


def test_the_hit_rate_of_a_layer_is_that_of_all_look_ups_and_not_a_mean_of_rates(exposed: Exposed) -> None:
    busy = replace(NOTHING, layers={"L1": LayerRate(900.0, 1_000.0)})
    idle = replace(NOTHING, layers={"L1": LayerRate(0.0, 10.0)})

    assert round(values(exposed(busy, idle)["nostr_cache_hit_rate"])[("L1",)], 1) == 89.1


def test_a_layer_without_lookups_shows_no_hit_rate(exposed: Exposed) -> None:
    assert exposed(replace(NOTHING, layers={"L2": LayerRate()}))["nostr_cache_hit_rate"].samples == []


def test_caches_and_pools_show_their_labels(exposed: Exposed) -> None:
    cache = CacheFigures("events", "L1", size=5, bytes=50, hits=3, misses=1, errors=0, evictions={"size": 2})
    seen = exposed(replace(NOTHING, caches=[cache], pools={"read": PoolFigures(1, 3, 2)}))

    assert values(seen["nostr_cache_evictions"]) == {("L1", "events", "size"): 2}
    assert values(seen["nostr_db_connections"])[("read", "waiting")] == 2


def test_the_processor_is_that_of_the_busiest_worker_and_up_means_everywhere(exposed: Exposed) -> None:
    seen = exposed(replace(NOTHING, busiest_percent=90.0), replace(NOTHING, busiest_percent=10.0, bus_up=False))

    assert values(seen["nostr_cpu_utilization_percent"]) == {(): 90.0}
    assert values(seen["relay_bus_up"]) == {(): 0}


def test_a_replica_is_up_if_it_is_for_every_worker_and_its_lag_is_what_the_worst_one_sees(exposed: Exposed) -> None:
    here = replace(
        NOTHING, replicas={"replica_1": ReplicaFigures(True, "", 5, 0.5)}, by_label={"answers": {"primary": 1}}
    )
    there = replace(NOTHING, replicas={"replica_1": ReplicaFigures(False, "does not answer", 7, 0.2)})
    seen = exposed(here, there)

    assert values(seen["relay_replica_up"]) == {("replica_1",): 0}
    assert values(seen["relay_replica_lag_changes"]) == {("replica_1",): 7}
    assert values(seen["relay_replica_lag_seconds"]) == {("replica_1",): 0.5}
    assert values(seen["relay_replica_answers"]) == {("primary",): 1}
    assert total([here, there]).replicas == {"replica_1": ReplicaFigures(False, "does not answer", 7, 0.5)}


def test_fetches_are_told_by_outcome(exposed: Exposed) -> None:
    seen = exposed(replace(NOTHING, counts={"flights_fetched": 1, "flights_joined": 2}))

    assert values(seen["relay_flights"]) == {("fetched",): 1, ("joined",): 2}


def test_the_shared_cache_is_up_when_every_worker_reaches_it(exposed: Exposed) -> None:
    assert values(exposed(NOTHING, replace(NOTHING, shared_up=False))["relay_shared_cache_up"]) == {(): 0}


def test_one_worker_that_holds_the_lease_is_enough_to_be_told(exposed: Exposed) -> None:
    lease = "relay_single_instance_lease"

    assert values(exposed(NOTHING, replace(NOTHING, single_instance=True))[lease]) == {(): 1}
    assert values(exposed(NOTHING)[lease]) == {(): 0}


def test_connections_that_were_cut_are_told_by_reason(exposed: Exposed) -> None:
    counts = {
        "aborted_slow_readers": 1,
        "aborted_ping_timeout": 2,
        "aborted_close_deadline": 3,
        "aborted_unfinished": 4,
        "aborted_unread": 5,
    }
    seen = values(exposed(replace(NOTHING, counts=counts))["nostr_connections_aborted"])

    assert seen == {
        ("slow_readers",): 1,
        ("ping_timeout",): 2,
        ("close_deadline",): 3,
        ("unfinished",): 4,
        ("unread",): 5,
    }


def test_workers_are_counted_by_version(exposed: Exposed) -> None:
    old, new = replace(NOTHING, version="1"), replace(NOTHING, version="2")

    assert values(exposed(old, new, new)["nostr_workers"]) == {("1",): 1, ("2",): 2}

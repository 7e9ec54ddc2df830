"""The cost model: what it finds from samples that it made up itself, and what it carries them on to."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks.scaling.model import CONCERNS, KINDS, Part, Sample, Work, deviation, fit, predict
from tests.benchmarks.scaling.plan import BEATS_PER_SECOND, Choices, Load, Sizes, plan, table
from tests.benchmarks.scaling.report import wal_bytes

COSTS = {part: {kind: 1e-4 * (number + 1) for number, kind in enumerate(CONCERNS[part])} for part in Part}
SIZES = Sizes(connection=10_000, worker=200e6, event=2_000, wal=3_000, message=260, change=590)
LOAD = Load(users=1_000, events=10, queries=100, deliveries=5, stored=1e6)
CHOICES = Choices()


def works() -> list[Work]:
    """One trial at rest, and one for each kind of work."""
    rest = Work(servers=8, seconds=16)
    return [Work(servers=8), rest, *[rest + Work(**{kind: 500.0}) for kind in KINDS[2:]]]


def samples(costs: Any) -> list[Sample]:
    return [Sample(part, work, predict(costs, part, work)) for part in Part for work in works()]


def test_the_costs_of_which_samples_were_made_are_found() -> None:
    found = fit(samples(COSTS))
    for part, kinds in COSTS.items():
        assert found[part] == pytest.approx(kinds, rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1e-3), min_size=len(KINDS), max_size=len(KINDS)))
def test_the_fit_explains_any_samples_that_costs_explain(values: list[float]) -> None:
    costs = {Part.WORKERS: dict(zip(CONCERNS[Part.WORKERS], values, strict=False))}
    given_samples = [Sample(Part.WORKERS, work, predict(costs, Part.WORKERS, work)) for work in works()]
    found = fit(given_samples)
    for sample in given_samples:
        assert predict(found, sample.part, sample.work) == pytest.approx(sample.cpu, abs=1e-4)


def test_events_and_commits_are_told_apart_by_the_sizes_of_batches() -> None:
    costs = {Part.PRIMARY: {"events": 200e-6, "commits": 300e-6}}
    trials = [Work(events=480, commits=480), Work(events=2_000, commits=60)]
    found = fit(Sample(Part.PRIMARY, work, predict(costs, Part.PRIMARY, work)) for work in trials)
    assert {kind: found[Part.PRIMARY][kind] for kind in costs[Part.PRIMARY]} == pytest.approx(costs[Part.PRIMARY])


def test_no_cost_is_below_zero_though_a_trial_with_more_work_took_less_time() -> None:
    found = fit([Sample(Part.BUS, Work(seconds=10), 1.0), Sample(Part.BUS, Work(seconds=10, messages=100), 0.9)])
    assert min(found[Part.BUS].values()) >= 0


def test_work_that_is_not_a_parts_concern_costs_it_nothing() -> None:
    found = fit([Sample(Part.BUS, Work(seconds=10, memory=1_000), 1.0)])
    assert "memory" not in found[Part.BUS]


def test_a_deviation_is_a_share_of_what_was_measured() -> None:
    assert deviation(1.2, 1.0) == pytest.approx(0.2)
    assert deviation(0.5, 0.0) == 0.0


def test_instances_are_enough_for_the_connections() -> None:
    found = plan(replace(LOAD, users=1_000_000), {**COSTS, Part.WORKERS: {"connections": 0.0}}, SIZES, CHOICES)
    assert found.instances == 10


def test_instances_are_enough_for_the_cpu_of_their_workers() -> None:
    costs = {**COSTS, Part.WORKERS: {"seconds": 0.01, "events": 1e-3, "messages": 1e-4, "deliveries": 1e-4}}
    found = plan(replace(LOAD, events=1_000, deliveries=100), costs, SIZES, CHOICES)
    workers = found.instances * CHOICES.workers
    assert found.worker_cores <= workers * CHOICES.full
    fewer = (found.instances - 1) * CHOICES.workers
    assert found.worker_cores - CHOICES.workers * (0.01 + 0.1) > fewer * CHOICES.full


def test_where_messages_fill_each_worker_more_instances_are_no_help() -> None:
    found = plan(replace(LOAD, events=10_000), {**COSTS, Part.WORKERS: {"changes": 1e-4}}, SIZES, CHOICES)
    assert found.instances == 2
    assert found.used(CHOICES)["bus in each worker"] > 1


def test_the_table_has_a_row_for_each_load() -> None:
    rows = table({"1,000": LOAD, "2,000": replace(LOAD, users=2_000)}, COSTS, SIZES, CHOICES).splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| 1,000", "| 2,000"]
    assert {row.count("|") for row in rows} == {rows[0].count("|")}


def test_every_message_goes_to_every_worker() -> None:
    found = plan(LOAD, {part: {"connections": 0.0} for part in Part}, SIZES, CHOICES)
    workers = found.instances * CHOICES.workers
    assert found.messages == pytest.approx((LOAD.events + workers * BEATS_PER_SECOND) * workers)
    assert found.bus_bytes == pytest.approx(found.messages * SIZES.message + LOAD.events * workers * SIZES.change)


def test_events_gather_where_the_order_lock_is_always_held() -> None:
    busy = plan(replace(LOAD, events=3_000), {part: {"connections": 0.0} for part in Part}, SIZES, CHOICES)
    assert busy.lock == pytest.approx(3.0)
    workers = busy.instances * CHOICES.workers
    assert busy.messages == pytest.approx((1_000 + workers * BEATS_PER_SECOND) * workers)


def test_the_bottleneck_is_what_is_used_most() -> None:
    free = {part: {"servers": 0.0} for part in Part}
    assert plan(replace(LOAD, events=2_000), free, SIZES, CHOICES).bottlenecks(CHOICES) == [("order lock", 2.0)]
    busy = {**free, Part.BUS: {"messages": 1e-3}}
    assert plan(LOAD, busy, SIZES, CHOICES).bottlenecks(CHOICES)[0][0] == "bus server"


def test_wal_is_divided_into_what_each_event_writes_and_full_pages() -> None:
    def trial(events: int, pages: int) -> dict[str, Any]:
        return {"samples": [{"work": {"events": events}}], "wal": [2_500 * events + 7_000 * pages, pages]}

    trials = {"rest": trial(0, 3), "one by one": trial(700, 1_700), "at once": trial(2_900, 800), "servers": {}}
    assert wal_bytes({**trials, "servers": {"samples": []}}) == pytest.approx((2_500, 7_000), rel=1e-3)

"""From what the workers counted to figures, verdict and advice."""

import msgspec
import pytest

from relay.loadtest.advice import THRESHOLDS, ThresholdError, parse_thresholds
from relay.loadtest.results import Report, to_json
from relay.loadtest.tally import MAX_REASONS, Reasons, Shape
from tests.unit.loadtest.reports import report, tally


def test_a_run_without_fault_passes_and_says_so() -> None:
    made = report(tally())

    assert made.passed
    assert made.recommendations == ["All thresholds are met."]


def test_workers_add_up() -> None:
    figures = report(tally(accepted=100), tally(accepted=60)).figures

    assert (figures.events.sent, figures.events.accepted, figures.connections.opened) == (200, 160, 20)
    assert figures.events.per_second == 160.0
    assert figures.events.ok.count == 160


def test_a_rate_is_of_acknowledged_work_until_its_last_acknowledgement() -> None:
    slow = tally(accepted=80)
    slow.last_ok = slow.started + 4.0

    assert report(slow).figures.events.per_second == 20.0


@pytest.mark.parametrize("accepted, passed", [(95, True), (94, False)])
def test_acceptance_is_held_against_its_threshold(accepted: int, passed: bool) -> None:
    assert report(tally(accepted=accepted)).passed is passed


@pytest.mark.parametrize("latency, passed", [(0.095, True), (0.2, False)])
def test_p95_is_held_against_its_threshold(latency: float, passed: bool) -> None:
    made = report(tally(latency=latency))

    assert made.passed is passed
    assert any("p95 of OK" in said for said in made.recommendations) is not passed


def test_connections_are_held_against_their_threshold() -> None:
    refused = tally()
    refused.opened = 9
    refused.failures.add("HTTP status 503")

    made = report(refused)

    assert not made.passed
    assert "Only 90 % of the connections opened" in made.recommendations[0]
    assert "HTTP status 503" in made.recommendations[0]


def test_a_lost_delivery_in_fifty_is_missed() -> None:
    lossy = tally()
    lossy.followers, lossy.delivered, lossy.lost = 10, 980, 20

    assert not report(lossy).passed


def test_what_was_not_measured_fails_no_threshold() -> None:
    checks = {check.name: check.met for check in report(tally()).checks}

    assert checks["answers"] is None
    assert checks["deliveries"] is None


def test_a_generator_that_was_the_bottleneck_says_that_figures_are_lower_bounds() -> None:
    made = report(tally(cpu=0.9))

    assert made.figures.generator.is_bottleneck
    assert made.passed
    assert "lower bounds" in made.recommendations[0]


def test_waiting_for_answers_does_not_hide_a_busy_generator() -> None:
    waiting = tally(cpu=0.9)
    last = waiting.moments[-1]
    waiting.moments.append(type(last)(6.0, last.accepted, 0, 0, last.cpu + 0.01))

    assert report(waiting).figures.generator.cpu_percent == pytest.approx(90.0)


def test_a_worker_that_did_not_report_fails_the_run() -> None:
    made = report(tally(), missing=1)

    assert not made.passed
    assert "ended without a report" in made.recommendations[0]


def test_refusals_are_counted_by_their_prefix() -> None:
    refusing = tally(accepted=97)
    for text in ("rate-limited: slow", "rate-limited: slower", "no colon here"):
        refusing.refusals.add_answer(text)

    made = report(refusing)

    assert [(reason.reason, reason.count) for reason in made.figures.events.refused_by_reason] == [
        ("rate-limited", 2),
        ("no prefix", 1),
    ]
    assert any("limits rates" in said for said in made.recommendations)


def test_reasons_that_a_relay_invents_are_bounded_in_number_and_length() -> None:
    reasons = Reasons()
    for number in range(1_000):
        reasons.add(f"reason {number} " + "x" * 1_000, "y" * 100_000)

    assert len(reasons.counts) <= MAX_REASONS + 1
    assert reasons.counts.total() == 1_000
    assert max(map(len, [*reasons.counts, *reasons.texts.values()])) <= 200


def test_the_rates_of_the_shapes_make_a_geometric_mean() -> None:
    asking = tally()
    asking.asked = asking.answered = 110
    asking.shapes = {"one id": Shape(answered=100, seconds=1.0), "thread": Shape(answered=10, seconds=10.0, events=50)}

    queries = report(asking).figures.queries

    assert queries.geometric_mean_per_second == 10.0
    assert [(shape.shape, shape.per_second, shape.events_per_query) for shape in queries.by_shape] == [
        ("one id", 100.0, 0.0),
        ("thread", 1.0, 5.0),
    ]


def test_over_time_has_the_rate_and_the_latency_of_each_slot() -> None:
    slots = report(tally(), tally()).over_time

    assert [(slot.second, slot.events_per_second) for slot in slots] == [(0.5, 200.0), (1.0, 200.0)]
    assert all(slot.ok_p95_ms == pytest.approx(5.0, rel=1 / 32) for slot in slots)


def test_the_distribution_grows_to_a_hundred_percent() -> None:
    points = report(tally()).distribution.ok

    assert points == sorted(points)
    assert points[-1][1] == 100.0


def test_json_is_the_report_with_its_format_and_version() -> None:
    made = report(tally())

    raw = to_json(made)

    assert msgspec.json.decode(raw, type=Report) == made
    assert msgspec.json.decode(raw)["format"] == "relay-loadtest"
    assert msgspec.json.decode(raw)["version"] == 1


def test_a_run_that_measured_nothing_still_makes_a_report() -> None:
    assert report().figures.connections.success_percent is None
    assert report().recommendations == ["Nothing was measured."]


def test_thresholds_are_the_defaults_but_for_those_given() -> None:
    assert parse_thresholds(" p95=250, acceptance=90.5 ") == {**THRESHOLDS, "p95": 250.0, "acceptance": 90.5}
    assert parse_thresholds("") == THRESHOLDS


@pytest.mark.parametrize("text", ["p96=1", "p95", "p95=fast", "acceptance=101", "p95=-1", "p95=nan"])
def test_a_threshold_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ThresholdError):
        parse_thresholds(text)

"""Tallies and reports for the tests of the load test."""

from collections.abc import Mapping

from relay.loadtest.advice import THRESHOLDS
from relay.loadtest.coordinator import Outcome
from relay.loadtest.plan import Plan
from relay.loadtest.report import make_report
from relay.loadtest.results import Report
from relay.loadtest.tally import Moment, Tally
from tests.unit.loadtest.plans import plan


def tally(*, accepted: int = 100, latency: float = 0.005, cpu: float = 0.2, started: float = 1_000.0) -> Tally:
    """A run of one second: `accepted` of 100 events, each with this latency (seconds); `cpu` seconds were used."""
    one = Tally(width=0.5, tried=10, opened=10, sent=100, accepted=accepted, started=started, last_ok=started + 1.0)
    one.moments = [
        Moment(0.0, 0, 0, 0, 0.0),
        Moment(0.5, accepted // 2, 0, 0, cpu / 2),
        Moment(1.0, accepted, 0, 0, cpu),
    ]
    for number in range(accepted):
        one.ok.add(latency, number / accepted)
    return one


def report(
    *tallies: Tally, limits: Mapping[str, float] = THRESHOLDS, whole: Plan | None = None, missing: int = 0
) -> Report:
    return make_report(whole or plan(), Outcome(list(tallies), missing=missing), limits)

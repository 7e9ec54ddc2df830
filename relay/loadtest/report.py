"""The report of a run, put together.

Rule: it says what was measured until then, whether the run came to its end or was stopped.
"""

from collections.abc import Mapping

from relay.loadtest import advice, course, evaluation, results
from relay.loadtest.coordinator import Outcome
from relay.loadtest.plan import Plan
from relay.loadtest.tally import Tally


def make_report(plan: Plan, outcome: Outcome, limits: Mapping[str, float]) -> results.Report:
    """`limits` by the names of `advice.THRESHOLDS`."""
    tallies = outcome.tallies
    figures = results.Figures(
        connections=evaluation.connections(tallies),
        events=evaluation.events(plan, tallies),
        queries=evaluation.queries(tallies),
        deliveries=evaluation.deliveries(plan, tallies),
        other=evaluation.other(tallies),
        generator=evaluation.generator(tallies, outcome.missing),
    )
    checks = advice.checks(limits, figures)
    problems = sorted({tally.problem[:1].upper() + tally.problem[1:] + "." for tally in tallies if tally.problem})
    said = advice.recommendations(checks, figures)
    return results.Report(
        run=_run(plan, outcome),
        figures=figures,
        checks=checks,
        passed=not problems and not outcome.missing and all(check.met is not False for check in checks),
        recommendations=problems + (said if not problems or any(check.met is False for check in checks) else []),
        over_time=course.over_time(tallies),
        distribution=_distribution(tallies),
    )


def _run(plan: Plan, outcome: Outcome) -> results.Run:
    seconds = max((tally.moments[-1].second for tally in outcome.tallies if tally.moments), default=0.0)
    planned = {name: getattr(plan, name) for name in results.Run.__struct_fields__ if hasattr(plan, name)}
    planned["urls"] = list(plan.urls)
    return results.Run(**planned, started_at=plan.now, seconds=round(seconds, 3), interrupted=outcome.interrupted)


def _distribution(tallies: list[Tally]) -> results.Distribution:
    return results.Distribution(
        ok=course.distribution(tally.ok.total for tally in tallies),
        eose=course.distribution(tally.eose.total for tally in tallies),
        delivery=course.distribution(tally.delivery.total for tally in tallies),
    )

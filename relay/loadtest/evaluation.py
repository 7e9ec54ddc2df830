"""From the tallies of the workers to the figures of the report.

Rule: a rate is of acknowledged work over the time from the start to its last acknowledgement, so a slow end
counts, and waiting for answers that never came does not.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import geometric_mean

from relay.loadtest import results
from relay.loadtest.histogram import Histogram
from relay.loadtest.plan import Plan, Scenario
from relay.loadtest.tally import Reasons, Shape, Tally

BUSY_PERCENT = 85.0  # of a core: above, the generator itself may have been what was measured


def latency(histograms: Iterable[Histogram]) -> results.Latency:
    """Percentiles of several histograms as one."""
    whole = Histogram().merge(histograms)
    if not whole.count:
        return results.Latency(0)
    p50, p95, p99 = (milliseconds(whole.quantile(share)) for share in (0.5, 0.95, 0.99))
    return results.Latency(whole.count, p50, p95, p99, milliseconds(whole.longest))


def milliseconds(seconds: float | None) -> float | None:
    """Seconds as milliseconds, rounded to a microsecond."""
    return None if seconds is None else round(seconds * 1e3, 3)


def percent(part: int, whole: int) -> float | None:
    """0 to 100; None of nothing."""
    return round(100 * part / whole, 2) if whole else None


def reasons(many: Iterable[Reasons]) -> list[results.Reason]:
    """The most frequent first."""
    whole = Reasons()
    for one in many:
        whole.merge(one)
    return [
        results.Reason(reason, number, whole.texts.get(reason, "")) for reason, number in whole.counts.most_common()
    ]


def _rate(number: int, tallies: Sequence[Tally], lasts: Iterable[float]) -> float | None:
    """A second, from the first start to the last acknowledgement."""
    starts = [tally.started for tally in tallies if tally.started]
    seconds = max(lasts, default=0.0) - min(starts, default=0.0)
    return round(number / seconds, 1) if starts and number and seconds > 0 else None


def connections(tallies: Sequence[Tally]) -> results.Connections:
    """How many were tried, opened, and closed by the relay."""
    tried, opened = sum(t.tried for t in tallies), sum(t.opened for t in tallies)
    return results.Connections(
        tried=tried,
        opened=opened,
        failed=tried - opened,
        success_percent=percent(opened, tried),
        connect=latency(t.connecting for t in tallies),
        failures=reasons(t.failures for t in tallies),
        closed_by_relay=reasons(t.closes for t in tallies),
        reopened=sum(t.reopened for t in tallies),
    )


def events(plan: Plan, tallies: Sequence[Tally]) -> results.Events:
    """How many were sent, and what became of them."""
    sent, accepted = sum(t.sent for t in tallies), sum(t.accepted for t in tallies)
    return results.Events(
        sent=sent,
        accepted=accepted,
        refused=sum(t.refusals.counts.total() for t in tallies),
        unanswered=sum(t.unanswered for t in tallies),
        withheld=sum(t.withheld for t in tallies),
        accepted_percent=percent(accepted, sent),
        per_second=None if plan.scenario is Scenario.IDLE else _rate(accepted, tallies, (t.last_ok for t in tallies)),
        ok=latency(t.ok.total for t in tallies),
        refused_by_reason=reasons(t.refusals for t in tallies),
    )


def queries(tallies: Sequence[Tally]) -> results.Queries:
    """How many were asked, and what became of them, by shape as well."""
    asked, answered = sum(t.asked for t in tallies), sum(t.answered for t in tallies)
    unanswered = sum(t.unfinished for t in tallies)
    shapes = _shapes(tallies)
    rates = [shape.per_second for shape in shapes if shape.per_second > 0]
    return results.Queries(
        asked=asked,
        answered=answered,
        rejected=asked - answered - unanswered,
        unanswered=unanswered,
        answered_percent=percent(answered, asked),
        per_second=_rate(answered, tallies, (t.last_eose for t in tallies)),
        geometric_mean_per_second=round(geometric_mean(rates), 1) if rates else None,
        eose=latency(t.eose.total for t in tallies),
        rejected_by_reason=reasons(t.rejections for t in tallies),
        by_shape=shapes,
    )


def _shapes(tallies: Sequence[Tally]) -> list[results.ShapeFigures]:
    """The workers ask at the same time: their rates add up."""
    by_name: dict[str, list[Shape]] = {}
    for tally in tallies:
        for name, shape in tally.shapes.items():
            by_name.setdefault(name, []).append(shape)
    figures = []
    for name, shapes in by_name.items():
        answered = sum(shape.answered for shape in shapes)
        rate = sum(shape.answered / shape.seconds for shape in shapes if shape.seconds)
        found = sum(shape.events for shape in shapes) / answered if answered else 0.0
        times = latency(shape.latency for shape in shapes)
        figures.append(results.ShapeFigures(name, answered, round(rate, 1), round(found, 1), times))
    return figures


def deliveries(plan: Plan, tallies: Sequence[Tally]) -> results.Deliveries:
    """What subscribers got of what they should have received."""
    delivered, lost = sum(t.delivered for t in tallies), sum(t.lost for t in tallies)
    times = latency(t.delivery.total for t in tallies)
    complete = plan.scenario is Scenario.IDLE and delivered and not lost
    return results.Deliveries(
        subscribers=sum(t.followers for t in tallies),
        delivered=delivered,
        lost=lost,
        repeated=sum(t.repeated for t in tallies),
        delivered_percent=percent(delivered, delivered + lost),
        # In idle one event is published at the end of the silence: a rate would say nothing.
        per_second=None
        if plan.scenario is Scenario.IDLE
        else _rate(delivered, tallies, (t.last_delivery for t in tallies)),
        all_received_ms=times.max_ms if complete else None,
        latency=times,
    )


def other(tallies: Sequence[Tally]) -> results.Other:
    """Messages that no scenario asks for."""
    return results.Other(
        notices=reasons(t.notices for t in tallies),
        auth_challenges=sum(t.challenges for t in tallies),
        garbage=sum(t.garbage for t in tallies),
        unexpected=sum(t.unexpected for t in tallies),
        foreign_events=sum(t.foreign for t in tallies),
        pings=sum(t.pings for t in tallies),
    )


def generator(tallies: Sequence[Tally], missing: int) -> results.Generator:
    """What the load test itself used and was late."""
    shares = [round(cpu_percent(tally), 1) for tally in tallies]
    return results.Generator(
        cpu_percent_by_process=shares,
        cpu_percent=round(sum(shares), 1),
        is_bottleneck=any(share > BUSY_PERCENT for share in shares),
        behind_ms=milliseconds(max((t.behind for t in tallies), default=0.0)) or 0.0,
        missing_processes=missing,
    )


def cpu_percent(tally: Tally) -> float:
    """Of one core, from the start to the last moment at which something was acknowledged: not while waiting."""
    last = None
    for before, after in pairwise(tally.moments):
        if (before.accepted, before.answered, before.delivered) != (after.accepted, after.answered, after.delivered):
            last = after
    last = last or (tally.moments[-1] if tally.moments else None)
    return 100 * last.cpu / last.second if last is not None and last.second > 0 else 0.0

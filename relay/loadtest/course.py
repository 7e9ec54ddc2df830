"""The course of a run: rates and latencies from slot to slot, and the distribution of latencies.

Rule: this is for plots. It is thinned and rounded, and no figure of the report is made from it.
"""

from collections.abc import Iterable, Sequence

from relay.loadtest import results
from relay.loadtest.evaluation import milliseconds
from relay.loadtest.histogram import Histogram
from relay.loadtest.tally import Moment, Tally, Track

MAX_POINTS = 200


def over_time(tallies: Sequence[Tally]) -> list[results.Second]:
    """The slots of all workers side by side: their moments are at the same times but for a few milliseconds."""
    slots = []
    courses = [_without_rest(tally) for tally in tallies]
    for slot in range(max(map(len, courses), default=1) - 1):
        steps = [course[slot : slot + 2] for course in courses if slot + 1 < len(course)]
        end = max(now.second for _, now in steps)
        rates = [round(sum(column), 1) for column in zip(*(_step(*step) for step in steps), strict=True)]
        p95 = [_slot_p95([getattr(tally, name) for tally in tallies], slot) for name in ("ok", "eose", "delivery")]
        slots.append(results.Second(round(end, 2), *rates, *p95))
    return slots


def _without_rest(tally: Tally) -> list[Moment]:
    """The moments; a rest after the last whole slot that is too short for a rate belongs to that slot."""
    moments = tally.moments
    if len(moments) > 2 and moments[-1].second - moments[-2].second < tally.width / 2:
        return [*moments[:-2], moments[-1]]
    return moments


def _step(then: Moment, now: Moment) -> tuple[float, float, float]:
    seconds = max(now.second - then.second, 1e-3)
    return (
        (now.accepted - then.accepted) / seconds,
        (now.answered - then.answered) / seconds,
        (now.delivered - then.delivered) / seconds,
    )


def _slot_p95(tracks: Sequence[Track], slot: int) -> float | None:
    found = [track.slots[slot] for track in tracks if slot in track.slots]
    return milliseconds(Histogram().merge(found).quantile(0.95)) if found else None


def distribution(histograms: Iterable[Histogram]) -> list[tuple[float, float]]:
    """The cumulative distribution, thinned to MAX_POINTS."""
    whole = Histogram().merge(histograms)
    points = [(round(seconds * 1e3, 3), round(100 * total / whole.count, 3)) for seconds, total in whole.cumulative()]
    step = len(points) // MAX_POINTS + 1
    return points[::-step][::-1]

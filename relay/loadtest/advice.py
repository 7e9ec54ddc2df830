"""Thresholds, whether they were met, and what an operator should know, in plain sentences.

Rule: a sentence says what was measured and what to do about it; nothing is advised that was not measured.
"""

from collections.abc import Callable, Mapping

from relay.loadtest import results
from relay.loadtest.evaluation import BUSY_PERCENT

THRESHOLDS: Mapping[str, float] = {
    "connections": 95.0,  # percent opened
    "acceptance": 95.0,  # percent of the events sent
    "answers": 95.0,  # percent of the queries asked
    "deliveries": 99.0,  # percent of what subscribers should have received
    "p95": 100.0,  # milliseconds, of OK, EOSE and delivery each
}
_CALMER = "at a lower rate or with a smaller window it may keep up; beyond that, it needs more workers or a faster disk"
_SHARES: Mapping[str, tuple[str, str]] = {
    "connections": (
        "the connections opened",
        "Look at the relay's limits for connections in total and per address, and at its open files.",
    ),
    "acceptance": ("the events were accepted", "Events that are refused or unanswered are lost to their authors."),
    "answers": ("the queries were answered", "Queries that are rejected or unanswered leave readers with nothing."),
    "deliveries": (
        "what subscribers should have received reached them",
        "The relay had accepted those events: look for clients that it cut, and for its limits of buffers.",
    ),
}


class ThresholdError(ValueError):
    """A threshold that does not exist or has no number; the text is one sentence."""


def parse_thresholds(text: str) -> dict[str, float]:
    """`p95=250,acceptance=90` over the defaults. Raises ThresholdError."""
    chosen = dict(THRESHOLDS)
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = part.partition("=")
        if name.strip() not in THRESHOLDS:
            raise ThresholdError(f"there is no threshold {name.strip()!r}: they are {', '.join(THRESHOLDS)}")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not 0 <= value <= (86_400_000 if name.strip() == "p95" else 100):
            raise ThresholdError(
                f"the threshold {name.strip()} needs a number, as in p95=250 (ms) or acceptance=90 (%)"
            )
        chosen[name.strip()] = value
    return chosen


def checks(limits: Mapping[str, float], figures: results.Figures) -> list[results.Check]:
    """Every threshold against its figure."""
    shares = {
        "connections": figures.connections.success_percent,
        "acceptance": figures.events.accepted_percent,
        "answers": figures.queries.answered_percent,
        "deliveries": figures.deliveries.delivered_percent,
    }
    found = [_check(name, limits[name], share, lambda got, limit: got >= limit) for name, share in shares.items()]
    times = {"OK": figures.events.ok, "EOSE": figures.queries.eose, "delivery": figures.deliveries.latency}
    return found + [
        _check(f"p95 of {name}", limits["p95"], time.p95_ms, lambda got, limit: got <= limit)
        for name, time in times.items()
    ]


def _check(name: str, limit: float, got: float | None, holds: Callable[[float, float], bool]) -> results.Check:
    return results.Check(name, limit, got, None if got is None else holds(got, limit))


def recommendations(found: list[results.Check], figures: results.Figures) -> list[str]:
    """Sentences, the most important first; one that all is well when nothing is to be said."""
    why = {
        "connections": figures.connections.failures,
        "acceptance": figures.events.refused_by_reason,
        "answers": figures.queries.rejected_by_reason,
    }
    missed = [_missed(check, why.get(check.name, [])) for check in found if check.met is False]
    nothing = all(check.met is None for check in found)
    well = "Nothing was measured." if nothing else "All thresholds are met."
    return [*_of_generator(figures.generator), *missed, *_of_protocol(figures)] or [well]


def _missed(check: results.Check, why: list[results.Reason]) -> str:
    if check.name in _SHARES:
        what, advice = _SHARES[check.name]
        reason = f" The most frequent reason: {why[0].reason}." if why else ""
        return f"Only {check.measured:.3g} % of {what}, under the threshold of {check.limit:g} %.{reason} {advice}"
    limit = f"{check.limit:g} ms"
    return f"The {check.name} is {check.measured:.3g} ms, over the threshold of {limit}: {_CALMER}."


def _of_generator(generator: results.Generator) -> list[str]:
    sentences = []
    if generator.missing_processes:
        sentences.append(
            f"{generator.missing_processes} of the load generator's processes ended without a report: "
            "the figures are those of the others."
        )
    if generator.is_bottleneck:
        sentences.append(
            "The load generator itself was the bottleneck "
            f"(a process of it used more than {BUSY_PERCENT:g} % of a core): "
            "the figures are lower bounds of what the relay can do. Use more --processes, or another machine."
        )
    if generator.behind_ms > 100:
        sentences.append(
            f"Sending was up to {generator.behind_ms:.0f} ms late against the rate: the load came in bursts, "
            "because the generator or this machine had too little time."
        )
    return sentences


def _of_protocol(figures: results.Figures) -> list[str]:
    connections, events, queries = figures.connections, figures.events, figures.queries
    sentences = []
    asked = [*events.refused_by_reason, *queries.rejected_by_reason]
    if any(reason.reason in ("auth-required", "restricted") for reason in asked):
        sentences.append("The relay wants authentication (NIP-42), which this load test does not do.")
    if any(reason.reason == "rate-limited" for reason in asked):
        sentences.append("The relay limits rates: exempt this address for the test, or lower the rates.")
    if connections.closed_by_relay:
        number = sum(reason.count for reason in connections.closed_by_relay)
        sentences.append(f"The relay closed {number} connections ({connections.closed_by_relay[0].reason}).")
    if events.withheld:
        sentences.append(f"{events.withheld} events were not sent in time: no connection was open and took data.")
    if figures.other.garbage:
        sentences.append(f"{figures.other.garbage} messages were not of the protocol.")
    return sentences

"""From what the operator gave to a plan: the scenario's own numbers for the rest, and the bounds of all.

Rule: every run is bounded. A plan that exceeds a bound is not made; the error says which bound.
"""

import os
from collections.abc import Mapping, Sequence
from math import ceil

from relay.loadtest.plan import POOL_EVENTS, Plan, Scenario, slots_of

MAX_SEEN_BYTES = 200_000_000  # one byte for each event and subscriber: what tells lost from delivered


class PlanError(ValueError):
    """A run that is not done; the text is one sentence for the operator."""


Numbers = Mapping[str, float | None]

DEFAULTS: dict[Scenario, dict[str, float]] = {
    Scenario.MIXED: {"connections": 100, "subscribers": 10, "duration": 30, "event_rate": 100, "query_rate": 10},
    Scenario.INGEST: {"connections": 10, "events": 20_000, "duration": 30, "window": 50},
    Scenario.QUERY: {"connections": 8, "events": 5_000, "duration": 24, "window": 50},
    Scenario.FANOUT: {"connections": 1, "subscribers": 200, "events": 300, "duration": 30, "window": 50},
    Scenario.IDLE: {"connections": 1, "subscribers": 1_000, "events": 1, "duration": 5, "window": 1},
}
_BOUNDS: dict[str, tuple[float, float]] = {
    "connections": (1, 20_000),
    "subscribers": (0, 20_000),
    "events": (1, 200_000),
    "duration": (0.5, 86_400),
    "event_rate": (0, 20_000),
    "query_rate": (0, 20_000),
    "window": (1, 1_000),
    "processes": (1, 32),
    "authors": (1, 10_000),
    "seed": (0, 2**63 - 1),
    "interval": (0, 3_600),
}
MAX_STREAMED_EVENTS = 20_000_000


def make_plan(
    urls: Sequence[str],
    scenario: Scenario,
    given: Numbers,
    *,
    existing: bool,
    run: str,
    now: int,
    reopen: bool = False,
) -> Plan:
    """A plan from the numbers given, the scenario's own for the rest. `now` in seconds since 1970. Raises PlanError."""
    chosen = {"authors": 1_000, "processes": 1, "window": 50, "seed": 1, "subscribers": 0, "events": 1}
    number = {"event_rate": 0.0, "query_rate": 0.0, "interval": 0.0, **chosen, **DEFAULTS[scenario]}
    number |= {name: value for name, value in _translated(scenario, given).items() if value is not None}
    _check_bounds(number)
    if scenario is Scenario.MIXED:
        number["subscribers"] = min(number["subscribers"], number["connections"])
        number["events"] = ceil(number["event_rate"] * number["duration"])
    _check_together(scenario, number, reopen=reopen)
    return Plan(
        urls=tuple(urls),
        interval=number["interval"],
        scenario=scenario,
        duration=number["duration"],
        event_rate=number["event_rate"],
        query_rate=number["query_rate"],
        existing=existing,
        reopen=reopen,
        run=run,
        now=now,
        **{name: int(number[name]) for name in _WHOLE},
    )


_WHOLE = ("connections", "subscribers", "events", "window", "processes", "authors", "seed")


def new_run() -> str:
    """8 hex digits for `Plan.run`."""
    return os.urandom(4).hex()


def _translated(scenario: Scenario, given: Numbers) -> dict[str, float | None]:
    """In idle the connections are the subscribers; one more publishes."""
    numbers = dict(given)
    if scenario is Scenario.IDLE:
        numbers |= {
            "subscribers": given.get("connections") or given.get("subscribers"),
            "connections": None,
            "events": None,
        }
    if scenario is Scenario.FANOUT:
        numbers["connections"] = None
    return numbers


def _check_bounds(number: Mapping[str, float]) -> None:
    for name, (low, high) in _BOUNDS.items():
        if not low <= number[name] <= high:
            option = name.replace("_", "-")
            raise PlanError(f"--{option} must be from {low:,.10g} to {high:,.10g}, not {number[name]:,.10g}")


def _check_together(scenario: Scenario, number: Mapping[str, float], *, reopen: bool) -> None:
    most = MAX_STREAMED_EVENTS if scenario is Scenario.MIXED else _BOUNDS["events"][1]
    if number["events"] > most:
        raise PlanError(f"--event-rate times --duration is more than {most:,.0f} events: lower one of them")
    if scenario in (Scenario.FANOUT, Scenario.IDLE) and number["subscribers"] < 1:
        raise PlanError(f"the {scenario} scenario needs a subscriber")
    slots = number["events"]
    if scenario is Scenario.MIXED and (reopen or slots > POOL_EVENTS):
        slots = slots_of(number["event_rate"], int(number["processes"]))
    if number["subscribers"] * slots > MAX_SEEN_BYTES:
        raise PlanError(f"subscribers times events must be at most {MAX_SEEN_BYTES:,}: lower one of them")
    loaded = number["subscribers"] if scenario in (Scenario.FANOUT, Scenario.IDLE) else number["connections"]
    if number["processes"] > loaded:
        raise PlanError("there are more --processes than connections to share among them")

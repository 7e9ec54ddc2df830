"""Plans for the tests of the load test."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from relay.loadtest.plan import Plan, Scenario
from relay.loadtest.planning import make_plan

NOW = 1_700_000_000
URL = "ws://127.0.0.1:7777"


def plan(
    scenario: Scenario = Scenario.MIXED,
    given: Mapping[str, float] = MappingProxyType({}),
    *,
    url: str = URL,
    others: Sequence[str] = (),
    run: str = "0badcafe",
    existing: bool = False,
    reopen: bool = False,
    **more: float,
) -> Plan:
    """A plan with the scenario's own numbers but for those given."""
    numbers = {**given, **more}
    return make_plan([url, *others], scenario, numbers, existing=existing, reopen=reopen, run=run, now=NOW)

"""Plans are bounded, and their shares make the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.loadtest.plan import Scenario
from relay.loadtest.planning import PlanError
from tests.unit.loadtest.plans import plan


@given(st.integers(1, 8), st.integers(8, 300), st.integers(0, 300), st.sampled_from(list(Scenario)))
def test_the_shares_make_the_whole(processes: int, connections: int, events: int, scenario: Scenario) -> None:
    whole = plan(scenario, processes=processes, connections=connections, events=events + 1, duration=2)

    shares = [whole.share(index) for index in range(processes)]

    assert sum(share.connections for share in shares) == whole.connections
    assert sum(share.subscribers for share in shares) == whole.subscribers
    assert sum(share.events for share in shares) == whole.events
    assert sum(share.event_rate for share in shares) == pytest.approx(whole.event_rate)


@given(st.integers(1, 8), st.integers(1, 500))
def test_every_event_has_a_number_of_its_own(processes: int, events: int) -> None:
    whole = plan(Scenario.INGEST, processes=processes, events=events)
    shares = [whole.share(index) for index in range(processes)]

    numbers = [number for share in shares for number in range(share.first, share.first + share.events)]

    assert numbers == list(range(events))


@pytest.mark.parametrize("scenario", [Scenario.FANOUT, Scenario.IDLE])
def test_one_worker_publishes_where_one_publisher_is_the_point(scenario: Scenario) -> None:
    whole = plan(scenario, processes=2)

    assert [whole.share(index).events > 0 for index in range(2)] == [True, False]
    assert [whole.share(index).connections for index in range(2)] == [1, 0]


def test_mixed_publishes_what_its_rate_makes_in_its_time() -> None:
    assert plan(event_rate=30, duration=2.5).events == 75


def test_a_short_run_streams_only_if_it_is_to_open_connections_again() -> None:
    assert plan(Scenario.MIXED, reopen=True).streams
    assert not plan(Scenario.MIXED).streams


def test_the_connections_of_idle_are_its_subscribers() -> None:
    whole = plan(Scenario.IDLE, connections=70)

    assert (whole.subscribers, whole.connections, whole.events) == (70, 1, 1)


@pytest.mark.parametrize(
    "scenario, numbers, said",
    [
        (Scenario.MIXED, {"connections": 20_001}, "--connections must be from 1 to 20,000, not 20,001"),
        (Scenario.MIXED, {"connections": 0}, "--connections"),
        (Scenario.MIXED, {"duration": float("nan")}, "--duration"),
        (Scenario.MIXED, {"duration": 86_401}, "--duration"),
        (Scenario.MIXED, {"event_rate": 20_000, "duration": 1_001}, "--event-rate times --duration"),
        (Scenario.INGEST, {"events": 200_001}, "--events"),
        (Scenario.INGEST, {"window": 0}, "--window"),
        (Scenario.INGEST, {"processes": 11}, "more --processes than connections"),
        (Scenario.FANOUT, {"subscribers": 20_000, "events": 20_000}, "subscribers times events"),
        (Scenario.FANOUT, {"subscribers": 0}, "needs a subscriber"),
    ],
)
def test_a_run_beyond_its_bounds_is_not_planned(scenario: Scenario, numbers: dict[str, float], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        plan(scenario, numbers)


def test_a_delivery_in_seven_is_timed_when_there_are_many() -> None:
    assert plan(Scenario.FANOUT, subscribers=10, events=100).timed_delivery == 1
    assert plan(Scenario.FANOUT, subscribers=200, events=300).timed_delivery == 7

"""A run that streams: what its followers miss is counted in a window, as if all of it were kept."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.loadtest import following, plan, planning
from relay.loadtest.board import Board
from relay.loadtest.following import Follower
from relay.loadtest.plan import SETTLE_SECONDS, SLOT_SECONDS, Plan, Scenario
from relay.loadtest.pool import marker, signed_events
from relay.loadtest.tally import Tally
from tests.unit.loadtest import plans

RATE = 0.5
PROCESSES = 2


@pytest.fixture(autouse=True)
def _all_runs_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (plan, planning):
        monkeypatch.setattr(module, "POOL_EVENTS", 1)


def streaming(duration: float = 1_000.0) -> Plan:
    found = plans.plan(connections=4, event_rate=RATE, duration=duration, processes=PROCESSES)
    assert found.streams
    return found


def test_memory_is_bounded_whatever_the_duration() -> None:
    assert streaming(10).slots == streaming(1_000).slots == streaming(80_000).slots == RATE * SLOT_SECONDS


def test_the_workers_number_their_events_in_turn() -> None:
    whole = streaming(20.0)
    frames = [[event.frame for event in signed_events(whole, whole.share(index))] for index in range(PROCESSES)]
    for index, mine in enumerate(frames):
        for at, frame in enumerate(mine):
            assert marker(whole.run) + b"%08d" % (index + at * PROCESSES) in frame
    assert sum(map(len, frames)) == whole.events


class Run:
    """One follower and the board, on a clock of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(following, "perf_counter", lambda: self.now)
        self.plan = streaming()
        self.board, self.tally = Board(self.plan), Tally()
        self.follower = Follower(self.plan, self.tally, self.board)
        self.link: Any = SimpleNamespace(seen=bytearray(self.plan.slots), replaying=False, open=True)
        self.follower._links = [self.link]  # type: ignore[list-item]

    def send(self, number: int, *, accepted: bool) -> None:
        self.board.send(number, self.now)
        if accepted:
            self.board.accept(number)

    def deliver(self, number: int) -> None:
        self.follower.on_event(self.link, b'["EVENT","live",{"tags":"' + marker(self.plan.run) + b'%08d"}]' % number)


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(("at once", "late", "never", "twice"))), min_size=100, max_size=160
    )
)
def test_deliveries_are_counted_as_if_all_events_were_kept(events: list[tuple[bool, str]]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        run = Run(monkeypatch)
        for number, (accepted, arrival) in enumerate(events):
            run.now = 1.0 + number / RATE
            run.send(number, accepted=accepted)
            if arrival in ("at once", "twice"):
                run.deliver(number)
            if arrival == "twice":
                run.deliver(number)
            if number >= 5 and events[number - 5][1] == "late":
                run.deliver(number - 5)
            run.follower.settle()
        run.follower.finish()

        came = [arrival in ("at once", "twice") for _, arrival in events]
        came = [
            c or (arrival == "late" and at + 5 < len(events))
            for at, (c, (_, arrival)) in enumerate(zip(came, events, strict=True))
        ]
        assert run.tally.delivered == sum(came)
        assert run.tally.lost == sum(accepted and not c for c, (accepted, _) in zip(came, events, strict=True))
        assert run.tally.repeated == sum(arrival == "twice" for _, arrival in events)


def test_what_comes_after_it_was_counted_as_lost_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch)
    run.now = 1.0
    run.send(0, accepted=True)
    run.now += SETTLE_SECONDS + 1
    run.follower.settle()
    run.deliver(0)
    run.follower.finish()
    assert (run.tally.lost, run.tally.delivered, run.tally.repeated, run.tally.garbage) == (1, 0, 0, 0)


def test_a_follower_that_comes_back_goes_on_with_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch)
    for number in range(3):
        run.send(number, accepted=True)
    run.deliver(0)
    again: Any = SimpleNamespace(seen=None, replaying=False, open=True, ask=lambda *_: None)
    run.follower.follow_again(run.link, again, {})
    run.link = again
    for number in range(3):
        run.deliver(number)
    run.follower.finish()
    assert (run.tally.delivered, run.tally.lost, run.tally.repeated) == (3, 0, 0)


@pytest.mark.parametrize(
    ("scenario", "publishing", "following_at"),
    [(Scenario.FANOUT, "aaaa", "bcbc"), (Scenario.IDLE, "aaaa", "bcbc"), (Scenario.MIXED, "abca", "abca")],
)
def test_connections_are_spread_and_events_cross_from_one_address_to_others(
    scenario: Scenario, publishing: str, following_at: str
) -> None:
    names = {f"ws://127.0.0.{at}": name for at, name in enumerate("abc", 1)}
    first, *others = names
    whole = plans.plan(scenario, url=first, others=others)
    assert "".join(names[whole.publishing_url(number)] for number in range(4)) == publishing
    assert "".join(names[whole.following_url(number)] for number in range(4)) == following_at

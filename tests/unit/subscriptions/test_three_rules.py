"""The three rules of the order as a stateful test: any delay, loss, doubling and reordering, at any moment.

Every live event arrives exactly once and in order; every overlaid answer is the oracle's.
"""

from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relay.changes.overlay import Page, overlay
from relay.changes.ring import OutOfReach
from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from tests import strategies
from tests.events import NOW
from tests.oracle import naive_match, naive_query, naive_visible
from tests.unit.changes.orders import POOL, stored
from tests.unit.subscriptions.model import Client, Log, Process, is_due, is_faithful, row_ids

LIMITS = Limits(max_limit=3, default_limit=2)
EVENTS = POOL[:16]
IDS = [event["id"] for event in EVENTS]

FILTERS = st.lists(
    st.fixed_dictionaries({}, optional={"kinds": st.just([1, 7]), "limit": st.integers(0, 4)})
    | strategies.filters(IDS, max_limit=3),
    min_size=1,
    max_size=2,
)
WHICH = st.integers(0, 9)
READ = st.integers(1, 12)


def id_of(event: dict[str, Any]) -> str:
    return str(event["id"])


class ThreeRules(RuleBasedStateMachine):
    """Two or three processes on one log."""

    @initialize(rings=st.lists(st.integers(0, 9_000), min_size=2, max_size=3))
    def begin(self, rings: list[int]) -> None:
        self.log = Log()
        self.processes = [Process(self.log, ring_bytes) for ring_bytes in rings]

    def process(self, which: int) -> Process:
        return self.processes[which % len(self.processes)]

    @rule(events=st.lists(st.sampled_from(EVENTS), min_size=1, max_size=4), which=WHICH, at_once=st.booleans())
    def commit(self, events: list[dict[str, Any]], which: int, at_once: bool) -> None:
        """A transaction of one process; it reaches the others, and mostly itself."""
        batch = self.log.commit(events)
        for process in self.processes:
            if at_once and process is self.process(which):
                process.take(batch)
            else:
                process.under_way.append(batch)

    @rule(which=WHICH, message=WHICH, fate=st.sampled_from(["arrives", "arrives", "is doubled", "is lost"]))
    def message(self, which: int, message: int, fate: str) -> None:
        """Any message of the bus, not only the oldest."""
        process = self.process(which)
        if not process.under_way:
            return
        batch = process.under_way[message % len(process.under_way)]
        if fate != "is doubled":
            process.under_way.remove(batch)
        if fate != "is lost":
            process.take(batch)

    @rule(which=WHICH, limit=READ)
    def read_the_log(self, which: int, limit: int) -> None:
        self.process(which).read_log(limit)

    @rule(which=WHICH, filters=FILTERS, keys=strategies.audiences())
    def open_a_subscription(self, which: int, filters: list[dict[str, Any]], keys: list[str]) -> None:
        process = self.process(which)
        parsed = [parse_filter(wanted, LIMITS) for wanted in filters]
        process.open(Client(filters, parsed, process.turns, keys))

    @rule(which=WHICH, client=WHICH, behind=st.integers(0, 12), limit=READ)
    def answer_a_subscription(self, which: int, client: int, behind: int, limit: int) -> None:
        """The result may be older than what this process has applied, or newer."""
        process = self.process(which)
        held = [client for client in process.clients if not client.live]
        if held:
            process.release(held[client % len(held)], max(0, self.log.position - behind), limit)

    @rule(which=WHICH, client=WHICH)
    def close_a_subscription(self, which: int, client: int) -> None:
        process = self.process(which)
        if process.clients:
            process.close(process.clients[client % len(process.clients)])

    @rule(which=WHICH)
    @precondition(lambda self: self.log.position > 10)
    def restart(self, which: int) -> None:
        self.process(which).restart()

    @rule(which=WHICH, wanted=FILTERS.map(lambda filters: filters[0]), behind=st.integers(0, 12))
    def overlay_a_result(self, which: int, wanted: dict[str, Any], behind: int) -> None:
        """A copy's answer at S, brought to P by the ring, is the oracle's at P.

        While a process catches up from the log, it does not learn of an event that is gone by then: its state at P
        lacks that event already before the change that takes it away. At the head of the log both are the same.
        """
        process = self.process(which)
        at = max(0, process.hub.position - behind)
        try:
            changes = process.intake.ring.since(at)
        except OutOfReach:
            return
        outcome = overlay(self.page(at, wanted), parse_filter(wanted, LIMITS), changes, NOW)
        if not outcome.short:
            events = process.state_since(at)
            assert row_ids(outcome.rows) == [row["id"] for row in naive_query(events, [wanted], NOW, 3, 2)]

    def page(self, position: int, wanted: dict[str, Any]) -> Page:
        events = self.log.state(position)
        rows = naive_query(events, [wanted], NOW, 3, 2)
        matching = [event for event in events if naive_visible(event, NOW) and naive_match(wanted, event)]
        return Page([stored(dict(row)) for row in rows], len(rows) == len(matching))

    @invariant()
    def at_the_head_of_the_log_a_process_has_the_state_of_the_log(self) -> None:
        for process in self.processes:
            if process.hub.position == self.log.position:
                head = self.log.state(self.log.position)
                assert sorted(map(id_of, process.state_since(process.began_at))) == sorted(map(id_of, head))

    @invariant()
    def every_process_knows_a_faithful_prefix(self) -> None:
        for process in self.processes:
            assert [change.seq for change in process.applied] == list(
                range(process.began_at + 1, process.hub.position + 1)
            )
            assert all(is_faithful(change, self.log) for change in process.applied[-12:])

    @invariant()
    def every_client_got_what_is_due_once_and_in_order(self) -> None:
        """While a delivery goes on in later turns of the loop, the rest of what is due is still missing."""
        for process in self.processes:
            process.turns.end()
            for client in process.clients:
                due, got = process.due(client) if client.live else [], client.wire.frames
                assert is_due(got, due, complete=not process.hub.backlog.bytes)

    def teardown(self) -> None:
        """One read of the log makes good whatever the bus lost."""
        for process in getattr(self, "processes", ()):
            process.read_log(10_000)
            while process.turn():
                pass
            assert not process.hub.backlog.bytes
            assert process.hub.position == self.log.position
            assert not process.intake.has_gap
        if hasattr(self, "processes"):
            self.every_client_got_what_is_due_once_and_in_order()


class ThreeRulesInPieces(ThreeRules):
    """The same, with deliveries, and changes of the index, of which each turn of the loop does the smallest piece."""

    @initialize()
    def divide(self) -> None:
        self.pieces = ExitStack()
        for constant, least in {
            "delivery.PIECE": 1,
            "live.UNINDEXED": 0,
            "hub.FREED_AT_ONCE_BYTES": -1,
            "index.SMALL": 0,
            "index.CANDIDATES": 0,
        }.items():
            self.pieces.enter_context(patch(f"relay.subscriptions.{constant}", least))
        self.pieces.enter_context(patch("relay.subscriptions.index.PIECE_VALUES", 1))

    @initialize(rings=st.lists(st.integers(0, 9_000), min_size=2, max_size=3))
    def begin(self, rings: list[int]) -> None:
        super().begin(rings)
        for process in self.processes:
            process.hub.backlog.slice_seconds = -1.0
            process.hub.seam_checks = 6
            for _ in range(2):  # so that each delivery takes more than one turn
                client = Client([{}], [parse_filter({}, LIMITS)], process.turns)
                process.open(client)
                process.release(client, process.hub.position, 1)

    @rule(which=WHICH, turns=st.integers(1, 9))
    def turn(self, which: int, turns: int) -> None:
        for _ in range(turns):
            self.process(which).turn()

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "pieces"):
            self.pieces.close()


TestThreeRules = ThreeRules.TestCase
TestThreeRulesInPieces = ThreeRulesInPieces.TestCase
TestThreeRules.settings = TestThreeRulesInPieces.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.reuse, Phase.generate, Phase.shrink],  # an explanation would take minutes
)

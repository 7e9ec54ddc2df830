"""The fair queue: turns by cost, bounds, and no owner that waits for ever; against a list of what was done to it."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.protocol.errors import Failed, RateLimited
from relay.storage import fair_queue
from relay.storage.fair_queue import INTERNAL, MAX_DEBT, Bounds, FairQueue, Ticket

OWNERS = ("a", "b", "c", "d")
PLACES = 2

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "begin", "take", "take", "end", "remove", "set_places"]),
        st.sampled_from(OWNERS),
        st.sampled_from([0.1, 1.0, 20.0, 400.0]),
        st.integers(0, 9),
    ),
    max_size=120,
)


class Model:
    """What waits of each owner in order, and how many places it holds."""

    def __init__(self, bounds: Bounds) -> None:
        self.queue: FairQueue[str] = FairQueue(bounds, PLACES)
        self.places = PLACES
        self.bounds = bounds
        self.waiting: dict[str, list[tuple[Ticket[str], str]]] = {owner: [] for owner in OWNERS}
        self.running: Counter[str] = Counter()
        self.added = 0

    def tickets(self) -> list[Ticket[str]]:
        return [ticket for tickets in self.waiting.values() for ticket, _ in tickets]

    def add(self, owner: str, cost: float, size: int) -> None:
        self.added += 1
        try:
            ticket = self.queue.add(owner, cost, size, f"{owner}{self.added}")
        except RateLimited:
            mine = [ticket for ticket, _ in self.waiting[owner]]
            own_bytes = sum(ticket.size for ticket in mine) + size
            assert len(mine) == self.bounds.owner_statements or own_bytes > self.bounds.owner_bytes
        except Failed:
            every = self.tickets()
            assert len(every) == self.bounds.statements or sum(t.size for t in every) + size > self.bounds.bytes
        else:
            self.waiting[owner].append((ticket, ticket.item))

    def set_places(self, _owner: str, _cost: float, number: int) -> None:
        self.places = 1 + number % 4
        self.queue.set_places(self.places)

    def begin(self, owner: str, cost: float, _: int) -> None:
        if self.queue.begin(owner, cost):
            assert not self.waiting[owner]
            self.running[owner] += 1

    def take(self, *_: object) -> str | None:
        item = self.queue.take()
        if item is None:
            assert all(self.running[owner] >= self.places for owner in OWNERS if self.waiting[owner]), (
                "it conserves work"
            )
            return None
        owner = item[0]
        assert self.waiting[owner].pop(0)[1] == item, "an owner's own come in their order"
        self.running[owner] += 1
        assert self.running[owner] <= self.places
        return owner

    def end(self, owner: str, more: float, sign: int) -> None:
        if self.running[owner]:
            self.running[owner] -= 1
            self.queue.end(owner, more if sign % 2 else -more)

    def remove(self, owner: str, _: float, number: int) -> None:
        if number < len(self.waiting[owner]):
            self.queue.remove(self.waiting[owner].pop(number)[0])

    def check(self) -> None:
        every = self.tickets()
        assert (len(self.queue), self.queue.bytes) == (len(every), sum(ticket.size for ticket in every))


@given(STEPS)
def test_whatever_is_done_it_serves_in_order_conserves_work_and_keeps_its_bounds(
    steps: list[tuple[str, str, float, int]],
) -> None:
    model = Model(Bounds(20, 60, 8, 25))
    for step, owner, cost, number in steps:
        getattr(model, step)(owner, cost, number)
        model.check()
    for owner in OWNERS:
        while model.running[owner]:
            model.end(owner, 0.0, 0)
    while (served := model.take()) is not None:
        model.end(served, 0.0, 0)
    assert len(model.queue) == 0


@given(st.lists(st.sampled_from(OWNERS), max_size=60), st.integers(0, 30))
def test_between_two_turns_of_an_owner_each_other_one_has_two_at_most(waiting: list[str], served: int) -> None:
    queue: FairQueue[str] = FairQueue(Bounds(), 1)
    for owner in waiting:
        queue.add(owner, 1.0, 0, owner)
    for _ in range(served):
        if (owner_now := queue.take()) is not None:
            queue.end(owner_now, 0.0)
    queue.add("new", 1.0, 0, "new")
    before: Counter[str] = Counter()
    while (turn := queue.take()) != "new":
        assert turn is not None
        before[turn] += 1
        queue.end(turn, 0.0)
    assert all(number <= 2 for number in before.values())


@given(st.lists(st.floats(0.1, 400.0), min_size=1, max_size=20), st.floats(0.1, 50.0))
def test_a_new_owner_waits_for_no_more_than_one_that_costs_more_than_its_own(costs: list[float], cost: float) -> None:
    queue: FairQueue[tuple[str, float]] = FairQueue(Bounds(), 1)
    for each in costs:
        queue.add("flood", each, 0, ("flood", each))
    if first := queue.take():
        queue.end(first[0], 0.0)
    queue.add("new", cost, 0, ("new", cost))
    before = []
    while (turn := queue.take()) is not None and turn[0] != "new":
        before.append(turn[1])
        queue.end("flood", 0.0)
    assert sum(before) <= cost + 0.001


def test_what_an_owner_really_took_puts_it_behind_others() -> None:
    queue: FairQueue[str] = FairQueue(Bounds(), 1)
    assert queue.begin("slow", 1.0)
    queue.end("slow", 300.0)
    for number in range(3):
        queue.add("slow", 1.0, 0, f"slow {number}")
        queue.add("other", 1.0, 0, f"other {number}")
    served = []
    while (item := queue.take()) is not None:
        served.append(item)
        queue.end(item.split()[0], 0.0)
    assert served == ["other 0", "other 1", "other 2", "slow 0", "slow 1", "slow 2"]


def test_an_owner_with_the_largest_debt_has_its_turn_while_another_never_stops() -> None:
    queue: FairQueue[str] = FairQueue(Bounds(), 1)
    assert queue.begin("slow", 1.0)
    queue.end("slow", 1_000_000.0)
    queue.add("slow", 1.0, 0, "slow")
    turns = 0
    queue.add("busy", 1.0, 0, "busy")
    while queue.take() != "slow":
        turns += 1
        queue.end("busy", 0.0)
        queue.add("busy", 1.0, 0, "busy")
    assert turns <= MAX_DEBT + 1


def test_an_owner_holds_no_more_than_its_places_though_no_other_waits() -> None:
    queue: FairQueue[int] = FairQueue(Bounds(), 2)
    assert [queue.begin("a", 1.0) for _ in range(3)] == [True, True, False]
    queue.add("a", 1.0, 0, 3)
    assert queue.take() is None
    queue.end("a", 0.0)
    assert queue.take() == 3


def test_the_relays_own_questions_have_no_bound_of_their_own() -> None:
    queue: FairQueue[int] = FairQueue(Bounds(10, 100, 1, 1), 1)
    assert [queue.begin(INTERNAL, 1.0) for _ in range(3)] == [True] * 3
    for number in range(10):
        queue.add(INTERNAL, 1.0, 5, number)
    with pytest.raises(Failed, match="too many queries wait"):
        queue.add(INTERNAL, 1.0, 5, 11)
    assert queue.refused == 1


def test_what_waits_of_a_closed_owner_delays_no_other() -> None:
    queue: FairQueue[str] = FairQueue(Bounds(), 1)
    gone = [queue.add("gone", 1.0, 3, "gone") for _ in range(5)]
    queue.add("other", 50.0, 4, "other")
    for ticket in gone:
        queue.remove(ticket)
        queue.remove(ticket)
    assert (len(queue), queue.bytes) == (1, 4)
    assert queue.take() == "other"


def test_accounts_of_owners_that_ask_nothing_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "KEPT_ACCOUNTS", 10)
    queue: FairQueue[str] = FairQueue(Bounds(), 1)
    queue.add("waits", 1.0, 0, "waits")
    for number in range(1_000):
        queue.add(f"{number}", 1.0, 0, f"{number}")
        if (owner := queue.take()) is not None:
            queue.end(owner, 0.0)
    assert len(queue._accounts) <= 12


def test_accounts_are_looked_through_a_few_times_however_many_owners_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "KEPT_ACCOUNTS", 10)
    queue: FairQueue[str] = FairQueue(Bounds(), PLACES)
    looks = 0
    for number in range(1_000):
        before = queue._accounts
        queue.add(f"owner {number}", 1.0, 0, "")
        looks += queue._accounts is not before
    assert looks <= 10


def test_what_was_accepted_before_is_not_refused_for_what_else_its_owner_has_waiting() -> None:
    queue: FairQueue[str] = FairQueue(Bounds(statements=3, owner_statements=1), PLACES)
    queue.add("a", 1.0, 0, "first")
    with pytest.raises(RateLimited):
        queue.add("a", 1.0, 0, "second")
    queue.add("a", 1.0, 0, "accepted", is_accepted=True)
    queue.add("b", 1.0, 0, "other")
    with pytest.raises(Failed):
        queue.add("a", 1.0, 0, "beyond", is_accepted=True)

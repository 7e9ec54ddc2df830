"""Three regions end with the same events, whatever is published where, lost, repeated, delayed or cut."""

import copy
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.protocol import kinds
from replication.models import Lane
from tests.unit.replication.model import Event, Model, Sender, repair, served_of

REGIONS = 3
AUTHORS = "abc"
NOW = 1_800_000_000
MESH = [(one, other) for one in range(REGIONS) for other in range(REGIONS) if one != other]
RING = [(0, 1), (1, 2), (2, 0)]

region = st.integers(0, REGIONS - 1)
publishing = st.tuples(
    st.just("publish"),
    region,
    st.sampled_from(AUTHORS),
    st.sampled_from([0, 1, 7, 10_002, 30_023]),
    st.sampled_from("xy"),
    st.integers(-5, 5),
)
deleting = st.tuples(st.just("delete"), region, st.integers(0, 30), st.integers(0, 3))
vanishing = st.tuples(st.just("vanish"), region, st.sampled_from(AUTHORS), st.integers(-3, 3))
again = st.tuples(st.just("again"), region, st.integers(0, 30))
sending = st.tuples(
    st.just("send"),
    st.integers(0, len(MESH) - 1),
    st.sampled_from(list(Lane)),
    st.integers(1, 4),
    st.sampled_from([None, None, None, 0, 1, 2]),
    st.booleans(),
)
cutting = st.tuples(st.just("link"), st.integers(0, len(MESH) - 1), st.booleans())


def often(strategy: st.SearchStrategy[Any], times: int) -> list[st.SearchStrategy[Any]]:
    """So many strategies like it: `one_of` counts the same one once."""
    return [strategy.map(lambda drawn: drawn) for _ in range(times)]


step = st.one_of(*often(publishing, 6), *often(sending, 9), *often(deleting, 2), cutting, again, vanishing)
failing = st.tuples(st.just("failover"), region, st.integers(1, 6))


class World:
    """The regions, their senders and every event that a client was told is stored."""

    def __init__(self, links: list[tuple[int, int]], skews: list[int], *, own_only: bool) -> None:
        self.links = links
        self.regions = [Model(number + 1, skew) for number, skew in enumerate(skews)]
        self.senders = {
            (link, lane): Sender(self.regions[link[0]], self.regions[link[1]], lane, own_only=own_only)
            for link in links
            for lane in Lane
        }
        self.cut: set[tuple[int, int]] = set()
        self.published: list[Event] = []
        self.taken: list[Event] = []
        self.before: list[list[Model]] = []
        self.now = NOW

    def run(self, steps: list[tuple[Any, ...]]) -> None:
        may_fail = any(name == "failover" for name, *_ in steps)
        for name, *arguments in steps:
            self.now += 1
            if may_fail:
                self.before.append([copy.deepcopy(each) for each in self.regions])
            getattr(self, f"_{name}")(*arguments)

    def _offer(self, number: int, event: Event) -> None:
        self.published.append(event)
        if self.regions[number].publish(event, self.now):
            self.taken.append(event)

    def _publish(self, number: int, author: str, kind: int, d: str, ago: int) -> None:
        d = d if kinds.is_addressable(kind) else ""
        self._offer(number, Event(self._id(), author, self.now + ago, kind, d))

    def _delete(self, number: int, which: int, later: int) -> None:
        if not self.published:
            return
        target = self.published[which % len(self.published)]
        if target.kind in kinds.INDELIBLE_KINDS:
            return
        # A version is deleted by its address: of one that is deleted by its id alone, a region that never got it keeps
        # the version before.
        named: dict[str, Any] = (
            {"targets": frozenset({target.id})}
            if target.address is None
            else {"addresses": frozenset({(target.kind, target.d)})}
        )
        self._offer(number, Event(self._id(), target.author, target.created_at + later, kinds.DELETION, **named))

    def _vanish(self, number: int, author: str, ago: int) -> None:
        self._offer(number, Event(self._id(), author, self.now + ago, kinds.VANISH))

    def _again(self, number: int, which: int) -> None:
        if self.published:
            self._offer(number, self.published[which % len(self.published)])

    def _send(self, link: int, lane: Lane, size: int, arrive: int | None, answered: bool) -> None:
        chosen = self.links[link % len(self.links)]
        if chosen not in self.cut:
            self.senders[chosen, lane].step(self.now, size, arrive=arrive, answered=answered)

    def _link(self, link: int, is_up: bool) -> None:
        chosen = self.links[link % len(self.links)]
        (self.cut.discard if is_up else self.cut.add)(chosen)

    def _failover(self, number: int, changes: int) -> None:
        earlier = self.before[-min(changes, len(self.before))][number]
        self.regions[number].lose_newest(earlier.state)

    def _id(self) -> str:
        return hashlib.sha256(str(len(self.published)).encode()).hexdigest()

    def settle(self) -> None:
        """Mend all links, and send until nothing is left."""
        self.cut.clear()
        moved = True
        while moved:
            moved = False
            for sender in self.senders.values():
                moved |= sender.step(self.now, 3)

    def served(self) -> Iterator[set[str]]:
        for each in self.regions:
            yield set(each.state.served)


@pytest.mark.parametrize(
    ("links", "own_only"), [(MESH, True), (MESH, False), (RING, False)], ids=["mesh", "all", "ring"]
)
@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(step, min_size=20, max_size=60),
    skews=st.lists(st.integers(-30, 30), min_size=REGIONS, max_size=REGIONS),
)
def test_all_regions_serve_what_one_store_would(
    links: list[tuple[int, int]], own_only: bool, steps: list[tuple[Any, ...]], skews: list[int]
) -> None:
    world = World(links, skews, own_only=own_only)
    world.run(steps)
    world.settle()
    expected = served_of(world.taken)
    assert list(world.served()) == [expected] * REGIONS


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.one_of(step, failing), min_size=20, max_size=60))
def test_a_region_that_lost_its_newest_changes_gets_back_what_it_had_sent(steps: list[tuple[Any, ...]]) -> None:
    """With anti-entropy, which a sender asks for when it finds another epoch."""
    world = World(MESH, [0] * REGIONS, own_only=True)
    world.run(steps)
    world.settle()
    for one in world.regions:
        for number in one.repairs:
            repair(one, world.regions[number - 1], world.now)
    world.settle()
    if any(each.repairs for each in world.regions):
        for a, b in MESH:
            repair(world.regions[a], world.regions[b], world.now)
    first, *others = world.served()
    assert others == [first] * (REGIONS - 1)

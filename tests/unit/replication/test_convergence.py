"""Three regions end with the same events, whatever is published where, lost, repeated, delayed or cut."""

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from relay.protocol import kinds
from replication.lanes import lane_of
from replication.models import Lane
from tests.unit.replication.model import MARGIN, UPPER_LIMIT, Event, Model, Sender, repair, served_of

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
    st.integers(-5, 5) | st.integers(-5, 5) | st.integers(UPPER_LIMIT - 30, UPPER_LIMIT + 30),
)
deleting = st.tuples(st.just("delete"), region, st.integers(0, 30), st.integers(0, 3), st.sampled_from([0, 0, 0, 1]))
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
Steps = list[tuple[Any, ...]]


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
        self.may_fail = False
        self.now = NOW

    def run(self, steps: Steps) -> None:
        self.may_fail = any(name == "failover" for name, *_ in steps)
        for name, *arguments in steps:
            self.now += 1
            if self.may_fail:
                self.before.append([copy.deepcopy(each) for each in self.regions])
            getattr(self, f"_{name}")(*arguments)

    def _offer(self, number: int, event: Event) -> None:
        self.published.append(event)
        if self.regions[number].publish(event, self.now):
            self.taken.append(event)

    def _publish(self, number: int, author: str, kind: int, d: str, ago: int) -> None:
        d = d if kinds.is_addressable(kind) else ""
        self._offer(number, Event(self._id(), author, self.now + ago, kind, d))

    def _delete(self, number: int, which: int, later: int, stranger: int) -> None:
        """By its author, or by another key, which may not."""
        if not self.published:
            return
        target = self.published[which % len(self.published)]
        author = AUTHORS[(AUTHORS.index(target.author) + stranger) % len(AUTHORS)]
        # Of a version that is deleted by its id alone, a region that never got it keeps the version before
        # (docs/operations/regions.md), so it is deleted by its address until all have got it.
        by_address = target.address is not None and (
            self.may_fail or not all(target.id in each.state.versions for each in self.regions)
        )
        named: dict[str, Any] = (
            {"addresses": frozenset({(target.kind, target.d)})} if by_address else {"targets": frozenset({target.id})}
        )
        self._offer(number, Event(self._id(), author, target.created_at + later, kinds.DELETION, **named))

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

    def _settle(self) -> None:
        self.settle()

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


def histories(*also: st.SearchStrategy[Any]) -> st.SearchStrategy[Steps]:
    return st.lists(st.one_of(step, *also), min_size=20, max_size=60)


skewed = st.lists(st.integers(-30, 30), min_size=REGIONS, max_size=REGIONS)


def serve_what_one_store_would(links: list[tuple[int, int]], own_only: bool, steps: Steps, skews: list[int]) -> None:
    world = World(links, skews, own_only=own_only)
    world.run(steps)
    world.settle()
    expected = served_of(world.taken)
    assert list(world.served()) == [expected] * REGIONS


@pytest.mark.parametrize(
    ("links", "own_only"), [(MESH, True), (MESH, False), (RING, False)], ids=["mesh", "all", "ring"]
)
@settings(max_examples=60, deadline=None)
@given(steps=histories(), skews=skewed)
def test_all_regions_serve_what_one_store_would(
    links: list[tuple[int, int]], own_only: bool, steps: Steps, skews: list[int]
) -> None:
    serve_what_one_store_would(links, own_only, steps, skews)


def get_back_what_was_sent(steps: Steps) -> None:
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


@settings(max_examples=60, deadline=None)
@given(steps=histories(failing))
def test_a_region_that_lost_its_newest_changes_gets_back_what_it_had_sent(steps: Steps) -> None:
    """With anti-entropy, which a sender asks for when it finds another epoch."""
    get_back_what_was_sent(steps)


NOTE: tuple[Any, ...] = ("publish", 0, "a", 1, "", 0)
SENT: Steps = [("send", link, Lane.NORMAL, 4, arrive, True) for link in (0, 1) for arrive in (None, None, 0)]
few: st.SearchStrategy[Steps] = st.lists(
    st.sampled_from([[NOTE], *([NOTE, sent] for sent in SENT)]), min_size=1, max_size=5
).map(lambda parts: list(chain.from_iterable(parts)))
promoted = st.builds(
    lambda before, changes, after: [*before, ("failover", 0, changes), *after], few, st.integers(1, MARGIN), few
)


def send_what_came_after_a_promotion(steps: Steps) -> None:
    world = World([(0, 1), (0, 2)], [0] * REGIONS, own_only=True)
    world.run(steps)
    world.settle()
    first, *others = world.served()
    assert all(first <= other for other in others)


@settings(max_examples=60, deadline=None)
@given(steps=promoted)
def test_what_is_published_after_a_promotion_waits_for_no_repair(steps: Steps) -> None:
    send_what_came_after_a_promotion(steps)


def test_a_version_deleted_by_its_id_before_it_was_sent_leaves_the_one_before_until_the_next() -> None:
    """What docs/operations/anti-entropy.md says of it."""
    world = World(MESH, [0] * REGIONS, own_only=True)
    before, deleted, following = (Event(name, "a", NOW + at, 0) for at, name in enumerate(("v1", "v2", "v3")))
    deletion = Event("d", "a", NOW + 1, kinds.DELETION, targets=frozenset({"v2"}))
    world._offer(0, before)
    world.settle()
    world._offer(0, deleted)
    world._offer(0, deletion)
    world.settle()
    assert list(world.served()) == [{"d"}, {"v1", "d"}, {"v1", "d"}]

    world._offer(1, following)
    world.settle()
    assert list(world.served()) == [{"v3", "d"}] * REGIONS


def mesh(drawn: tuple[Steps, list[int]]) -> None:
    serve_what_one_store_would(MESH, True, *drawn)


def handed_on(drawn: tuple[Steps, list[int]]) -> None:
    serve_what_one_store_would(MESH, False, *drawn)


class Mutation(NamedTuple):
    """A rule of the model that is exchanged for a wrong one, and the property that must notice it in what is drawn."""

    owner: type
    rule: str
    wrong: Callable[..., Any]
    noticed_by: Callable[[Any], None] = mesh
    drawn: st.SearchStrategy[Any] = st.tuples(histories(), skewed)


version = st.tuples(st.just("publish"), region, st.just("a"), st.just(0), st.just(""), st.integers(-5, 5))
settling = st.tuples(st.just("settle"))
versions = st.lists(st.one_of(version, settling, deleting, again), min_size=20, max_size=40)


def forget_heads(self: Model, events: Iterable[Event]) -> None:
    for event in list(events):
        del self.state.served[event.id]
        if event.address is not None and self.state.heads.get(event.address) == event:
            del self.state.heads[event.address]


def deletes_later_versions(self: Model, deletion: Event, event: Event) -> bool:
    is_named = event.id in deletion.targets or (event.kind, event.d) in deletion.addresses
    return is_named and deletion.author == event.author and event.kind not in kinds.INDELIBLE_KINDS


def deletes_for_any_key(self: Model, deletion: Event, event: Event) -> bool:
    return event.id in deletion.targets and event.kind not in kinds.INDELIBLE_KINDS


def deletes_deletions(self: Model, deletion: Event, event: Event) -> bool:
    return event.id in deletion.targets and deletion.author == event.author


MUTATIONS = {
    "tombstones are not kept": Mutation(Model, "was_deleted", lambda self, event: False),
    "times of requests to vanish are not kept": Mutation(Model, "has_vanished", lambda self, event: False),
    "a request to vanish takes what was made later": Mutation(
        Model, "vanishes", lambda self, request, event: event.author == request.author
    ),
    "an older request to vanish replaces a later one": Mutation(Model, "is_later", lambda self, request, known: True),
    "the version that comes last wins": Mutation(Model, "wins", lambda self, event, head: True),
    "of two versions of a second the one that is there wins": Mutation(
        Model,
        "wins",
        lambda self, event, head: event.created_at > head.created_at,
        drawn=st.tuples(versions, skewed),
    ),
    "heads go with their events": Mutation(Model, "remove", forget_heads, drawn=st.tuples(versions, skewed)),
    "an address is deleted for ever": Mutation(Model, "deletes", deletes_later_versions),
    "any key deletes": Mutation(Model, "deletes", deletes_for_any_key),
    "deletions are deleted": Mutation(Model, "deletes", deletes_deletions),
    "clocks may not differ": Mutation(Model, "further_ahead", lambda self: 0),
    "the cursor moves without an answer": Mutation(Sender, "may_move", lambda self, answered: True),
    "requests to vanish are not sent": Mutation(
        Sender, "is_there", lambda self, event: event.id in self.source.state.served
    ),
    "a kind is in no lane": Mutation(
        Sender, "is_of_lane", lambda self, event: event.kind != 7 and lane_of(event.kind) is self.lane
    ),
    "events go back to where they came from": Mutation(
        Sender, "selects", lambda self, event, origin: True, noticed_by=handed_on
    ),
    "events of a third region are not handed on": Mutation(
        Sender,
        "selects",
        lambda self, event, origin: origin == 0,
        noticed_by=lambda drawn: serve_what_one_store_would(RING, False, *drawn),
    ),
    "no repair is asked for after a promotion": Mutation(
        Sender, "ask_repair", lambda self: None, get_back_what_was_sent, promoted
    ),
    "a sender goes on where it was in a log that has lost changes": Mutation(
        Sender, "safe_position", lambda self, newest: self.position, send_what_came_after_a_promotion, promoted
    ),
}
QUICK = settings(max_examples=500, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_a_region_that_breaks_a_rule_is_noticed(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation.owner, mutation.rule, mutation.wrong)

    def is_noticed(drawn: Any) -> bool:
        try:
            mutation.noticed_by(drawn)
        except AssertionError:
            return True
        return False

    find(mutation.drawn, is_noticed, settings=QUICK, random=Random(0))

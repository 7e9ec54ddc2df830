"""Regions in memory: a store by the rules of the relay, a log with origins, a cursor for each peer and lane.

The lanes and what is sent to whom are the code under test (replication.lanes, replication.selection). Each rule is a
method of its own, which test_convergence exchanges for a wrong one, so that it is known that the rule is tested.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field

from relay.protocol import kinds
from replication.lanes import lane_of
from replication.models import Lane, Region
from replication.selection import Selected

UPPER_LIMIT = 900
PEER_SKEW = 60
MARGIN = 3


@dataclass(frozen=True)
class Event:
    """`targets`: ids that a kind 5 names. `addresses`: (kind, d) that it names."""

    id: str
    author: str
    created_at: int
    kind: int
    d: str = ""
    targets: frozenset[str] = frozenset()
    addresses: frozenset[tuple[int, str]] = frozenset()

    @property
    def address(self) -> tuple[str, int, str] | None:
        is_one = kinds.is_replaceable(self.kind) or kinds.is_addressable(self.kind)
        return (self.author, self.kind, self.d) if is_one else None


@dataclass
class State:
    """What a database holds. `log`: the event and the region that it came from, 0 for this one. `versions`: ids of all
    versions that ever came. `gone`: what was served once.
    """

    served: dict[str, Event] = field(default_factory=dict)
    deletions: list[Event] = field(default_factory=list)
    vanished: dict[str, Event] = field(default_factory=dict)
    heads: dict[tuple[str, int, str], Event] = field(default_factory=dict)
    log: list[tuple[Event, int]] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    epoch: int = 1


class Model:
    """One region. `skew`: its clock minus the true time. `repairs`: peers that anti-entropy is to compare it with."""

    def __init__(self, number: int, skew: int) -> None:
        self.number = number
        self.skew = skew
        self.state = State()
        self.repairs: set[int] = set()

    def publish(self, event: Event, now: int) -> bool:
        """A client's event; True if it was taken."""
        return event.created_at <= now + self.skew + UPPER_LIMIT and self._take(event, 0)

    def receive(self, event: Event, origin: int, now: int) -> None:
        """A peer's event, which the peer has taken: no outcome but a clock's may refuse it."""
        assert event.created_at <= now + self.skew + UPPER_LIMIT + self.further_ahead()
        self._take(event, origin)

    def _take(self, event: Event, origin: int) -> bool:
        state = self.state
        if event.kind == kinds.VANISH:
            known = state.vanished.get(event.author)
            if known is None or self.is_later(event, known):
                state.vanished[event.author] = event
                self.remove(e for e in state.served.values() if self.vanishes(event, e))
                state.log.append((event, origin))
            return True
        if event.id in state.served or self.has_vanished(event):
            return event.id in state.served
        is_deleted = self.was_deleted(event)
        if event.address is not None:
            state.versions.add(event.id)
            head = state.heads.get(event.address)
            if head is not None and not self.wins(event, head):
                return not is_deleted
            state.heads[event.address] = event  # also of one that is deleted already
            self.remove(e for e in state.served.values() if e.address == event.address)
        if is_deleted:
            return False
        if event.kind == kinds.DELETION:
            state.deletions.append(event)
            self.remove(e for e in state.served.values() if self.deletes(event, e))
        assert event.id not in state.gone, "what was removed has come back"
        state.served[event.id] = event
        state.log.append((event, origin))
        return True

    def further_ahead(self) -> int:
        return PEER_SKEW

    def is_later(self, request: Event, known: Event) -> bool:
        return request.created_at > known.created_at

    def wins(self, event: Event, head: Event) -> bool:
        return (-event.created_at, event.id) < (-head.created_at, head.id)

    def has_vanished(self, event: Event) -> bool:
        request = self.state.vanished.get(event.author)
        return request is not None and self.vanishes(request, event)

    def vanishes(self, request: Event, event: Event) -> bool:
        return event.author == request.author and event.created_at <= request.created_at

    def was_deleted(self, event: Event) -> bool:
        return any(self.deletes(deletion, event) for deletion in self.state.deletions)

    def deletes(self, deletion: Event, event: Event) -> bool:
        return _deletes(deletion, event)

    def remove(self, events: Iterable[Event]) -> None:
        """A head outlives its event."""
        for event in list(events):
            del self.state.served[event.id]
            self.state.gone.add(event.id)

    def lose_newest(self, before: State) -> None:
        """A standby is promoted that had not got the newest changes."""
        epoch = self.state.epoch + 1
        self.state = copy.deepcopy(before)
        self.state.epoch = epoch


def _deletes(deletion: Event, event: Event) -> bool:
    if deletion.author != event.author or event.kind in kinds.INDELIBLE_KINDS:
        return False
    if event.id in deletion.targets:
        return True
    return (event.kind, event.d) in deletion.addresses and event.created_at <= deletion.created_at


class Sender:
    """Sends one lane of a region to a peer, in batches; `position` and `epoch` are what the database keeps of it."""

    def __init__(self, source: Model, target: Model, lane: Lane, *, own_only: bool) -> None:
        self.source = source
        self.target = target
        self.lane = lane
        self.selected = Selected.of(Region(origin=target.number, own_only=own_only))
        self.position, self.epoch = 0, 1

    def step(self, now: int, size: int, *, arrive: int | None = None, answered: bool = True) -> bool:
        """Send a batch, of which `arrive` events do (all for None): there is no answer then. One may be lost as well.

        True if there was something to send.
        """
        state = self.source.state
        if self.epoch != state.epoch:
            self.epoch, self.position = state.epoch, self.safe_position(len(state.log))
            self.ask_repair()
        batch, reaches = [], self.position
        for event, origin in state.log[self.position :]:
            reaches += 1
            if self.is_there(event) and self.is_of_lane(event) and self.selects(event, origin):
                assert origin != self.target.number, "what came from a region goes back to it"
                batch.append(event)
                if len(batch) == size:
                    break
        for event in batch[:arrive]:
            self.target.receive(event, self.source.number, now)
        if self.may_move(answered and arrive is None):
            moved, self.position = reaches > self.position, reaches
            return moved
        return bool(batch)

    def safe_position(self, newest: int) -> int:
        """Where to go on in a log that may have lost its newest changes."""
        return max(0, min(self.position, newest) - MARGIN)

    def ask_repair(self) -> None:
        self.source.repairs.add(self.target.number)

    def is_there(self, event: Event) -> bool:
        """A request to vanish is kept apart from the events."""
        return event.id in self.source.state.served or self.source.state.vanished.get(event.author) == event

    def is_of_lane(self, event: Event) -> bool:
        return lane_of(event.kind) is self.lane

    def selects(self, event: Event, origin: int) -> bool:
        return self.selected.sends(event.kind, event.author, origin)

    def may_move(self, answered: bool) -> bool:
        """Only an answer says what has arrived."""
        return answered


def repair(one: Model, other: Model, now: int) -> None:
    """Anti-entropy: each side gets what it lacks of the other's events and requests to vanish, deletions first."""
    for source, target in ((one, other), (other, one)):
        events = [*source.state.vanished.values(), *source.state.served.values()]
        for event in sorted(events, key=lambda e: (e.kind not in kinds.INDELIBLE_KINDS, e.id)):
            if event.id not in target.state.served:
                target.receive(event, source.number, now)


def served_of(events: list[Event]) -> set[str]:
    """What a store serves that was sent all these events: the naive oracle."""
    vanished: dict[str, int] = {}
    for event in events:
        if event.kind == kinds.VANISH:
            vanished[event.author] = max(vanished.get(event.author, -1), event.created_at)
    left = [e for e in events if e.kind != kinds.VANISH and e.created_at > vanished.get(e.author, -1)]
    deletions = [e for e in left if e.kind == kinds.DELETION]
    newest: dict[tuple[str, int, str], Event] = {}
    for event in left:
        if event.address is not None:
            best = newest.get(event.address)
            if best is None or (-event.created_at, event.id) < (-best.created_at, best.id):
                newest[event.address] = event
    return {
        event.id
        for event in left
        if (event.address is None or newest[event.address] == event) and not any(_deletes(d, event) for d in deletions)
    }

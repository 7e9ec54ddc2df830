"""Regions in memory: a store by the rules of the relay, a log with origins, a cursor for each peer and lane.

The lanes and what is sent to whom are the code under test (replication.lanes, replication.selection).
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
    """What a database holds. `log`: the event and the region that it came from, 0 for this one."""

    served: dict[str, Event] = field(default_factory=dict)
    deletions: list[Event] = field(default_factory=list)
    vanished: dict[str, Event] = field(default_factory=dict)
    heads: dict[tuple[str, int, str], Event] = field(default_factory=dict)
    log: list[tuple[Event, int]] = field(default_factory=list)
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
        assert event.created_at <= now + self.skew + UPPER_LIMIT + PEER_SKEW
        self._take(event, origin)

    def _take(self, event: Event, origin: int) -> bool:
        state = self.state
        if event.kind == kinds.VANISH:
            known = state.vanished.get(event.author)
            if known is not None and known.created_at >= event.created_at:
                return True
            state.vanished[event.author] = event
            self._remove(e for e in state.served.values() if e.author == event.author and _before(e, event))
            state.log.append((event, origin))
            return True
        if event.id in state.served or self._is_gone(event):
            return event.id in state.served
        if event.address is not None:
            head = state.heads.get(event.address)
            if head is not None and (-head.created_at, head.id) <= (-event.created_at, event.id):
                return True
            state.heads[event.address] = event
            self._remove(e for e in state.served.values() if e.address == event.address)
        if event.kind == kinds.DELETION:
            state.deletions.append(event)
            self._remove(e for e in state.served.values() if _deletes(event, e))
        assert event.id not in state.gone, "what was removed has come back"
        state.served[event.id] = event
        state.log.append((event, origin))
        return True

    def _is_gone(self, event: Event) -> bool:
        vanish = self.state.vanished.get(event.author)
        return (vanish is not None and _before(event, vanish)) or any(_deletes(d, event) for d in self.state.deletions)

    def _remove(self, events: Iterable[Event]) -> None:
        for event in list(events):
            del self.state.served[event.id]
            self.state.gone.add(event.id)

    def lose_newest(self, before: State) -> None:
        """A standby is promoted that had not got the newest changes."""
        epoch = self.state.epoch + 1
        self.state = copy.deepcopy(before)
        self.state.epoch = epoch


def _before(event: Event, vanish: Event) -> bool:
    return event.created_at <= vanish.created_at


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
        """Send a batch, of which `arrive` events do (all for None); the cursor moves if the answer comes.

        True if there was something to send.
        """
        state = self.source.state
        if self.epoch != state.epoch:
            self.epoch, self.position = state.epoch, max(0, min(self.position, len(state.log)) - 3)
            self.source.repairs.add(self.target.number)
        batch, reaches = [], self.position
        for event, origin in state.log[self.position :]:
            reaches += 1
            is_there = event.id in state.served or state.vanished.get(event.author) == event
            if is_there and lane_of(event.kind) is self.lane and self.selected.sends(event.kind, event.author, origin):
                batch.append(event)
                if len(batch) == size:
                    break
        for event in batch[:arrive]:
            self.target.receive(event, self.source.number, now)
        if answered and arrive is None:
            moved, self.position = reaches > self.position, reaches
            return moved
        return bool(batch)


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

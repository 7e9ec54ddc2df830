"""A model of the whole relay, without clock and I/O: one log, several processes, a bus that may do anything.

What is real: Ring, Intake, Hub, Subscription, Outbox. What is played: commits, the bus, reads of the log, queries.
"""

import time
from collections.abc import Iterable, Sequence

from relay.changes.change import Added, Batch, Change, Removed
from relay.changes.intake import Intake
from relay.changes.overlay import Found
from relay.changes.ring import OutOfReach, Ring
from relay.protocol.audience import Audience
from relay.protocol.filters import Filter
from relay.subscriptions.hub import Hub
from relay.subscriptions.outbox import Outbox
from relay.subscriptions.subscription import HELD, Reader, Subscription
from tests.oracle import naive_match, naive_visible
from tests.unit.changes.orders import Json, state_after, stored
from tests.unit.subscriptions.wires import RecordingWire, Turns

HEAD = b'["EVENT","s",'


class Log:
    """What was committed, in order."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.events: dict[str, Json] = {}
        self._present: set[str] = set()

    @property
    def position(self) -> int:
        return len(self.changes)

    def commit(self, events: Iterable[Json]) -> Batch:
        """One transaction: each event is added, or removed if it is there."""
        first = self.position
        for event in events:
            event_id, seq = event["id"], self.position + 1
            self.events[event_id] = event
            self.changes.append(Removed(seq, event_id) if event_id in self._present else Added(seq, stored(event)))
            self._present ^= {event_id}
        return Batch.of(self.changes[first:])

    def after(self, position: int, limit: int) -> Batch | None:
        """As `Primary.changes_after`: an event that was removed since is read as a removal."""
        found = self.changes[position : position + limit]
        return Batch.of([self._as_read(change) for change in found]) if found else None

    def _as_read(self, change: Change) -> Change:
        if isinstance(change, Added) and change.event.id not in self._present:
            return Removed(change.seq, change.event.id)
        return change

    def state(self, position: int) -> list[Json]:
        return [self.events[event_id] for event_id in state_after(self.changes[:position])]


class Client:
    """One subscription, and what it must have been sent after its result."""

    def __init__(
        self, filters: Sequence[Json], parsed: Sequence[Filter], turns: Turns, keys: Sequence[str] = ()
    ) -> None:
        self.filters = filters
        self.keys = keys
        self.wire = RecordingWire()
        outbox = Outbox(self.wire, turns, 2**40, self._overflowed)
        self.subscription = Subscription(outbox, HEAD, parsed, Reader(Audience.of(keys)))
        self.result_at = 0
        self.read_at_the_seam: dict[int, Change] = {}

    def _overflowed(self) -> None:
        raise AssertionError("this client reads everything")

    @property
    def live(self) -> bool:
        return self.subscription.position != HELD

    def wants(self, event: Json) -> bool:
        return naive_visible(event, int(time.time()), self.keys) and any(
            naive_match(flt, event) for flt in self.filters
        )


class Process:
    """One worker: its copy of the order, its clients, and the messages of the bus that have not reached it."""

    def __init__(self, log: Log, ring_bytes: int) -> None:
        self.log = log
        self.ring_bytes = ring_bytes
        self.intake = Intake(Ring(log.position, ring_bytes), max_waiting=3)
        self.turns = Turns()
        self.hub = Hub(self.intake, later=self.turns.later)
        self.under_way: list[Batch] = []
        self.began_at = log.position
        self.applied: list[Change] = []
        self.clients: list[Client] = []

    def take(self, batch: Batch) -> None:
        changes = self.intake.offer(batch)
        self.applied += changes
        self.hub.deliver(changes)

    def turn(self) -> bool:
        """One turn of the loop; False if nothing is left to do."""
        return self.turns.run()

    def read_log(self, limit: int) -> None:
        batch = self.log.after(self.hub.position, limit)
        if batch is not None:
            self.take(batch)

    def restart(self) -> None:
        """The place in the order was lost: all clients are sent away."""
        for client in list(self.clients):
            self.close(client)
        self.intake.restart(Ring(self.log.position, self.ring_bytes))
        self.hub.backlog.drop()
        self.began_at = self.log.position
        self.applied = []

    def open(self, client: Client) -> None:
        self.hub.open(client.subscription)
        self.clients.append(client)

    def close(self, client: Client) -> None:
        self.hub.close(client.subscription)
        self.clients.remove(client)

    def release(self, client: Client, result_at: int, limit: int) -> None:
        """As `services.subscribe` does after EOSE."""
        client.result_at = position = result_at
        while not client.live:
            try:
                position = self.hub.release(client.subscription, position)
            except OutOfReach:
                batch = self.log.after(position, limit)
                assert batch is not None, "what the ring has forgotten is in the log"
                for change in batch.changes:
                    client.read_at_the_seam[change.seq] = change
                    if isinstance(change, Added) and self.hub.may_receive(client.subscription, change.event):
                        client.subscription.outbox.put(client.subscription.frame(change.event.json))
                position = batch.last

    def state_since(self, position: int) -> list[Json]:
        """What is stored at P as far as this process can know: the state at `position` and what it learnt since."""
        known = [*self.log.changes[:position], *self.applied[position - self.began_at :]]
        return [self.log.events[event_id] for event_id in state_after(known)]

    def due(self, client: Client) -> list[tuple[bytes, bool]]:
        """The frames of a live client: every match after its result, as this process learnt of it. With each, whether
        it may be left out: the event's removal has been applied here since (09-16).
        """
        out = []
        last = max([self.hub.position, *client.read_at_the_seam])
        removals = {change.event_id: change.seq for change in self.applied if isinstance(change, Removed)}
        for seq in range(client.result_at + 1, last + 1):
            change = client.read_at_the_seam.get(seq) or self.applied[seq - self.began_at - 1]
            if isinstance(change, Added) and client.wants(self.log.events[change.event.id]):
                out.append((HEAD + change.event.json + b"]", removals.get(change.event.id, 0) > seq))
        return out


def is_due(got: Sequence[bytes], due: Sequence[tuple[bytes, bool]], *, complete: bool) -> bool:
    """True if `got` is `due` in order, with nothing left out but what may be; not `complete`: so far."""
    places = {0}  # how much of `due` the frames so far may be: an event may be due twice
    for frame in got:
        places = {at + 1 for at in _within_reach(places, due) if at < len(due) and due[at][0] == frame}
    return bool(places) and (not complete or len(due) in _within_reach(places, due))


def _within_reach(places: set[int], due: Sequence[tuple[bytes, bool]]) -> set[int]:
    """The places, and those after them that only need leave out what may be."""
    found = set(places)
    for at, (_, may_be_left_out) in enumerate(due):
        if at in found and may_be_left_out:
            found.add(at + 1)
    return found


def is_faithful(seen: Change, log: Log) -> bool:
    """True for the change as committed, and for an addition read as a removal because its own removal followed."""
    committed = log.changes[seen.seq - 1]
    if seen == committed:
        return True
    assert isinstance(committed, Added)
    later = log.changes[seen.seq :]
    removal = any(isinstance(change, Removed) and change.event_id == committed.event.id for change in later)
    return isinstance(seen, Removed) and seen.event_id == committed.event.id and removal


def row_ids(rows: Iterable[Found]) -> list[str]:
    return [row.id for row in rows]

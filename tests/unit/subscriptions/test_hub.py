"""The hub: held and released subscriptions, the live seam, and clients that end in the middle of it."""

import time

import pytest

from relay.changes.change import Added, Batch, Change, Removed
from relay.changes.intake import Intake
from relay.changes.ring import TOUCHED_BYTES, OutOfReach, Ring
from relay.changes.sizes import change_bytes
from relay.metrics import counters
from relay.protocol.event import StoredEvent
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.subscriptions.delivery import PIECE
from relay.subscriptions.hub import SEAM_CHECKS, Hub
from relay.subscriptions.outbox import Outbox
from relay.subscriptions.subscription import Subscription
from tests.unit.changes.orders import additions, note
from tests.unit.subscriptions.wires import RecordingWire, Turns

PLENTY = 1_000_000


class Process:
    """The pure parts of one process, with clients that record."""

    def __init__(self, ring_bytes: int = PLENTY) -> None:
        self.intake = Intake(Ring(0, ring_bytes))
        self.turns = Turns()
        self.hub = Hub(self.intake, later=self.turns.later)

    def apply(self, *changes: Change) -> None:
        self.hub.deliver(self.intake.offer(Batch.of(changes)))

    def subscribe(self, *, kinds: tuple[int, ...] = (1,), reads: bool = True, max_bytes: int = PLENTY) -> "Client":
        return Client(self, kinds, reads, max_bytes)


class Client:
    """One subscription on a connection of its own, which ends it when it overflows."""

    def __init__(self, process: Process, kinds: tuple[int, ...], reads: bool, max_bytes: int) -> None:
        self.process = process
        self.wire = RecordingWire(reads=reads)
        self.outbox = Outbox(self.wire, process.turns, max_bytes, self.close)
        filters = [parse_filter({"kinds": list(kinds)}, Limits())]
        self.subscription = Subscription(self.outbox, b'["EVENT","s",', filters)
        process.hub.open(self.subscription)

    def release(self, position: int) -> "Client":
        self.process.hub.release(self.subscription, position)
        return self

    def close(self) -> None:
        self.process.hub.close(self.subscription)

    @property
    def got(self) -> list[bytes]:
        self.process.turns.end()
        return self.wire.frames


def frames(*changes: Change) -> list[bytes]:
    return [b'["EVENT","s",%b]' % change.event.json for change in changes if isinstance(change, Added)]


def expiring(number: int, seconds: float) -> StoredEvent:
    return note(number, tags=[["expiration", str(int(time.time() + seconds))]])


def test_a_held_subscription_is_sent_nothing() -> None:
    process = Process()
    client = process.subscribe()
    process.apply(*additions(2))
    assert client.got == []


def test_a_released_subscription_is_sent_what_came_after_its_result() -> None:
    process, changes = Process(), additions(5)
    client = process.subscribe()
    process.apply(*changes)
    assert client.release(2).got == frames(*changes[2:])


def test_a_live_subscription_is_sent_every_match_once() -> None:
    process, changes = Process(), additions(4)
    client = process.subscribe().release(0)
    process.apply(*changes[:2])
    process.apply(*changes[1:])
    assert client.got == frames(*changes)


def test_a_result_ahead_of_the_process_is_not_followed_by_changes_it_contains() -> None:
    process, changes = Process(), additions(5)
    client = process.subscribe().release(3)
    process.apply(*changes)
    assert client.got == frames(*changes[3:])


def test_what_the_ring_does_not_reach_is_refused_and_the_subscription_stays_held() -> None:
    changes = additions(4)
    process = Process(ring_bytes=2 * (change_bytes(changes[0]) + 3 * TOUCHED_BYTES))
    client = process.subscribe()
    process.apply(*changes[:3])
    with pytest.raises(OutOfReach):
        client.release(0)
    process.apply(changes[3])
    assert client.got == []


def test_a_removal_is_not_sent() -> None:
    process, change = Process(), additions(1)[0]
    client = process.subscribe().release(0)
    process.apply(change, Removed(2, note(1).id))
    assert client.got == frames(change)


def test_40_2_what_has_expired_is_not_delivered_neither_live_nor_at_the_seam() -> None:
    process = Process()
    held, live = process.subscribe(), process.subscribe().release(0)
    process.apply(Added(1, expiring(1, -5)), Added(2, expiring(2, 60)))
    assert held.release(0).got == live.got == frames(Added(2, expiring(2, 60)))


def test_an_ephemeral_event_reaches_only_live_subscriptions() -> None:
    process, event = Process(), note(1, kind=20_001)
    live, held = process.subscribe(kinds=(20_001,)).release(0), process.subscribe(kinds=(20_001,))
    process.hub.deliver_ephemeral(event)
    assert (live.got, held.got) == (frames(Added(0, event)), [])


def test_a_closed_subscription_is_sent_nothing() -> None:
    process = Process()
    client = process.subscribe().release(0)
    client.close()
    process.apply(*additions(1))
    assert (client.got, process.hub.subscriptions) == ([], 0)


def test_a_client_cut_off_during_a_delivery_does_not_affect_the_others() -> None:
    process, changes = Process(), additions(3)
    slow = process.subscribe(reads=False, max_bytes=10).release(0)
    others = [process.subscribe().release(0) for _ in range(3)]
    process.apply(*changes)
    assert slow.wire.ends == ["cut"]
    assert [other.got for other in others] == [frames(*changes)] * 3


class Busy(Process):
    """A process with so many live subscriptions that no delivery fits in one turn of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.hub.backlog.slice_seconds = -1.0
        self.crowd = [self.subscribe().release(0) for _ in range(3 * PIECE)]

    def finish(self) -> None:
        while self.turns.run():
            pass


def test_a_long_delivery_goes_on_in_later_turns_and_later_changes_wait_behind_it() -> None:
    process, changes = Busy(), additions(3)
    process.apply(*changes[:2])
    process.apply(changes[2])
    assert any(client.got != frames(*changes) for client in process.crowd)
    process.finish()
    assert all(client.got == frames(*changes) for client in process.crowd)
    assert process.hub.backlog.bytes == 0


def test_a_subscription_released_during_a_delivery_neither_misses_nor_doubles_a_change() -> None:
    process, changes = Busy(), additions(4)
    process.apply(*changes[:3])
    process.turns.run()
    client = process.subscribe().release(1)
    process.apply(changes[3])
    process.finish()
    assert client.got == frames(*changes[1:])


def test_a_subscription_closed_during_a_delivery_is_sent_no_more() -> None:
    process, changes = Busy(), additions(1)
    process.apply(*changes)
    for client in process.crowd:
        client.close()
    before = [client.got for client in process.crowd]
    process.finish()
    assert [client.got for client in process.crowd] == before
    assert len(process.hub._live.index) == 0


def test_09_16_what_is_removed_while_it_waits_for_its_delivery_is_not_sent_any_more() -> None:
    process, (first, second) = Busy(), additions(2)
    assert isinstance(first, Added)
    process.apply(first)
    while not any(client.got for client in process.crowd):
        process.turns.run()
    process.apply(second)
    before = [client.got for client in process.crowd]
    assert [] in before
    process.apply(Removed(3, first.event.id))
    process.finish()
    assert [client.got for client in process.crowd] == [got + frames(second) for got in before]


def test_nothing_of_an_old_epoch_is_delivered_in_the_next() -> None:
    process, changes = Busy(), additions(2)
    process.apply(*changes)
    process.hub.backlog.drop()
    process.intake.restart(Ring(0, PLENTY))
    client = process.subscribe().release(0)
    process.finish()
    assert (client.got, process.hub.backlog.bytes) == ([], 0)


def test_an_ephemeral_event_is_dropped_and_counted_while_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.subscriptions.backlog.BACKLOG_BYTES", 1)
    process = Busy()
    process.apply(*additions(1))
    process.hub.deliver_ephemeral(note(2, kind=20_001))
    assert (process.hub.backlog.is_full, process.hub.ephemerals_dropped) == (True, 1)
    process.finish()
    assert not process.hub.backlog.is_full


def test_many_changes_at_the_seam_are_sent_a_step_at_a_time() -> None:
    process = Process()
    process.hub.seam_checks = 3
    client = process.subscribe()
    process.apply(*additions(5))
    assert client.release(1).got == frames(*additions(4)[1:])
    assert client.release(4).got == frames(*additions(5)[1:])


def tagged(number: int, values: int) -> Filter:
    """A filter that an event of `with_tags` meets under one value, and that looks for others in its tags."""
    return parse_filter({"#a": [f"{number} {value}" for value in range(values)], "#t": ["7"]}, Limits())


def with_tags(number: int, tags: int) -> StoredEvent:
    return note(number, tags=[["t", f"{value}"] for value in range(tags)])


def test_values_that_are_looked_for_in_many_tags_make_a_step_of_the_seam_shorter() -> None:
    process = Process(10**8)
    filters = [tagged(number, SEAM_CHECKS // 10) for number in range(2)]
    subscription = Subscription(process.subscribe().outbox, b"", filters)
    process.hub.open(subscription)
    process.apply(*[Added(seq, with_tags(seq, 2_000)) for seq in range(1, 11)])
    assert process.hub.release(subscription, 0) == 5
    assert process.hub.release(subscription, 5) == 10


def test_a_delivery_gives_way_while_values_are_looked_for_in_many_tags() -> None:
    process = Process(10**8)
    process.hub.backlog.slice_seconds = -1.0
    for number in range(5):
        subscription = Subscription(process.subscribe().outbox, b"", [tagged(number, PIECE)])
        process.hub.open(subscription)
        process.hub.release(subscription, 0)
    process.apply(Added(1, with_tags(1, 2_000)))
    turns = 0
    while process.turns.run():
        turns += 1
    assert turns > 5


def test_filters_that_differ_in_their_limits_alone_are_matched_once() -> None:
    process = Process()
    for limit in range(5):
        flt = parse_filter({"kinds": [1], "limit": limit}, Limits())
        subscription = Subscription(Outbox(RecordingWire(), process.turns, PLENTY, lambda: None), b"", (flt,))
        process.hub.open(subscription)
        process.hub.release(subscription, 0)
    before = counters.deliveries
    process.apply(*additions(1))
    assert len(process.hub._live._groups) == 1
    assert counters.deliveries - before == 5

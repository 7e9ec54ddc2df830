"""Copies of profiles against a naive list: what they say is what holds, whatever comes and goes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from relay.caching.profiles import Profiles
from relay.changes.change import Added, Batch, Change, Removed
from relay.changes.ring import ENTRY_OVERHEAD_BYTES, Ring
from relay.changes.row import Row
from relay.protocol.event import StoredEvent
from tests.strategies import PUBKEYS
from tests.unit.changes.orders import note

RING_BYTES = 8 * (ENTRY_OVERHEAD_BYTES + 500)
"""Room for some eight changes: what a copy says is out of reach soon."""


def in_memory() -> Profiles:
    return Profiles(None, lambda: 1)


@dataclass
class Store:
    """The order of changes, and what each author's profile is after each of them."""

    changes: list[Change] = field(default_factory=list)
    states: list[dict[str, StoredEvent]] = field(default_factory=lambda: [{}])

    def write(self, pubkey: str, kind: int) -> None:
        event = note(len(self.changes), kind=kind, pubkey=pubkey)
        if kind == 0:
            self.remove(pubkey)
        self._append(Added(len(self.changes) + 1, event), pubkey, event if kind == 0 else None)

    def remove(self, pubkey: str) -> None:
        if (old := self.states[-1].get(pubkey)) is not None:
            self._append(Removed(len(self.changes) + 1, old.id), pubkey, None)

    def _append(self, change: Change, pubkey: str, profile: StoredEvent | None) -> None:
        self.changes.append(change)
        state = dict(self.states[-1])
        if profile is not None:
            state[pubkey] = profile
        elif isinstance(change, Removed):
            del state[pubkey]
        self.states.append(state)

    def read(self) -> tuple[int, dict[str, Row]]:
        """As the database answers now."""
        return len(self.changes), {pubkey: Row.of(event.json) for pubkey, event in self.states[-1].items()}


class Process:
    """One process that follows the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ring = Ring(0, RING_BYTES)
        self.profiles = in_memory()
        self.read: list[tuple[int, dict[str, Row]]] = []

    def follow(self, count: int) -> None:
        changes = self.store.changes[self.ring.position : self.ring.position + count]
        if changes:
            for change in self.ring.append(Batch.of(changes)):
                if isinstance(change, Added) and change.event.kind == 0:
                    self.profiles.apply(change)

    def keep(self, pubkeys: Sequence[str]) -> None:
        if self.read:
            position, rows = self.read.pop(0)
            self.profiles.keep(pubkeys, position, rows, self.ring)

    def check(self, pubkey: str) -> bool:
        copy = self.profiles.find(pubkey, self.ring)
        if copy is None:
            return False
        expected = self.store.states[self.ring.position].get(pubkey)
        assert (copy.row and copy.row.id) == (expected and expected.id)
        return True


AUTHORS = st.sampled_from(PUBKEYS[:3])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), AUTHORS, st.sampled_from([0, 0, 1])),
        st.tuples(st.just("remove"), AUTHORS),
        st.tuples(st.just("follow"), st.integers(1, 4)),
        st.tuples(st.just("read")),
        st.tuples(st.just("keep"), st.lists(AUTHORS, min_size=1, unique=True)),
        st.tuples(st.just("check"), AUTHORS),
    ),
    max_size=60,
)


@given(STEPS)
def test_a_copy_says_what_holds_or_nothing(steps: list[tuple]) -> None:
    store = Store()
    process = Process(store)
    for name, *given_ in steps:
        match name:
            case "write":
                store.write(*given_)
            case "remove":
                store.remove(*given_)
            case "follow":
                process.follow(*given_)
            case "read":
                process.read.append(store.read())
            case "keep":
                process.keep(*given_)
            case "check":
                process.check(*given_)
    for pubkey in PUBKEYS[:3]:
        process.check(pubkey)


def following(store: Store) -> Process:
    process = Process(store)
    process.follow(100)
    return process


def test_what_was_read_is_found() -> None:
    store = Store()
    store.write(PUBKEYS[0], 0)
    process = following(store)
    process.read.append(store.read())
    process.keep(PUBKEYS[:2])

    assert process.check(PUBKEYS[0])
    assert process.check(PUBKEYS[1])  # there is none, and that is known


def test_a_new_profile_takes_the_place_of_the_old_one_without_a_read() -> None:
    store = Store()
    process = following(store)
    process.read.append(store.read())
    process.keep(PUBKEYS[:1])

    store.write(PUBKEYS[0], 0)
    process.follow(100)

    assert process.check(PUBKEYS[0])


def test_what_was_read_before_the_newest_changes_is_brought_forward() -> None:
    store = Store()
    store.write(PUBKEYS[0], 0)
    process = following(store)
    process.read.append(store.read())
    store.write(PUBKEYS[0], 1)
    store.write(PUBKEYS[0], 0)
    process.follow(100)
    process.keep(PUBKEYS[:1])

    assert process.check(PUBKEYS[0])


def test_what_was_read_ahead_is_of_use_when_the_process_has_come_so_far() -> None:
    store = Store()
    process = following(store)
    store.write(PUBKEYS[0], 0)
    process.read.append(store.read())
    process.keep(PUBKEYS[:1])

    assert not process.check(PUBKEYS[0])
    process.follow(100)
    assert process.check(PUBKEYS[0])


def test_a_removed_profile_is_not_known_any_longer() -> None:
    store = Store()
    store.write(PUBKEYS[0], 0)
    process = following(store)
    process.read.append(store.read())
    process.keep(PUBKEYS[:1])

    store.remove(PUBKEYS[0])
    process.follow(100)

    assert not process.check(PUBKEYS[0])


def test_a_copy_that_the_ring_does_not_reach_is_not_used() -> None:
    store = Store()
    store.write(PUBKEYS[0], 0)
    process = following(store)
    process.read.append(store.read())
    process.keep(PUBKEYS[:1])

    for _ in range(20):
        store.write(PUBKEYS[1], 1)
    process.follow(100)

    assert process.ring.floor > 1
    assert not process.check(PUBKEYS[0])

"""The queue of the writer: what it takes together, what it leaves for later, and what it refuses."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.protocol.errors import Failed
from relay.protocol.event import StoredEvent
from relay.storage import write_queue
from relay.storage.batch import Entry
from relay.storage.write_queue import LONG_TAGS, WriteQueue

LONG = frozenset(f"p{number}" for number in range(LONG_TAGS + 1))
SHORT = frozenset({"p1", "p2", "p3"})


def an_entry(number: int, version: int | None, *, is_long: bool, origin: int = 0) -> Entry:
    """An event of its own id, or of one of few ids; `version` names an address."""
    keys = LONG if is_long else SHORT
    event = StoredEvent(f"{number:064x}", "a" * 64, 1, 30_000, None, keys, b"{}")
    return Entry(event, None if version is None else str(version), origin)


ENTRIES = st.lists(
    st.builds(
        an_entry,
        st.integers(0, 12),
        st.none() | st.integers(0, 2),
        is_long=st.booleans(),
        origin=st.integers(0, 1),
    ),
    max_size=25,
)


def batches(entries: Sequence[Entry], batch_events: int) -> list[list[Entry]]:
    queue = WriteQueue(batch_events, len(entries))
    for entry in entries:
        queue.add(entry, ignore)
    found = []
    while queue:
        found.append([entry for entry, _ in queue.take()])
    assert queue.bytes == 0
    return found


def ignore(*_: object) -> None:
    """For who does not ask for the outcome."""


@given(ENTRIES, st.integers(1, 6))
def test_every_event_is_taken_once_and_no_batch_is_empty(entries: list[Entry], batch_events: int) -> None:
    found = batches(entries, batch_events)

    assert Counter(map(id, entries)) == Counter(id(entry) for batch in found for entry in batch)
    assert all(0 < len(batch) <= batch_events for batch in found)


@given(ENTRIES, st.integers(1, 6))
def test_no_batch_holds_two_events_of_one_id_or_address_or_of_two_origins(
    entries: list[Entry], batch_events: int
) -> None:
    for batch in batches(entries, batch_events):
        assert len({entry.event.id for entry in batch}) == len(batch)
        addresses = [entry.d for entry in batch if entry.d is not None]
        assert len(set(addresses)) == len(addresses)
        assert len({entry.origin for entry in batch}) == 1


@given(ENTRIES, st.integers(1, 6))
@example([an_entry(0, None, is_long=False), an_entry(1, 1, is_long=True), an_entry(2, 1, is_long=False)], 6)
@example([an_entry(0, None, is_long=False), an_entry(1, None, is_long=True), an_entry(1, None, is_long=False)], 6)
def test_the_events_of_an_address_and_of_an_id_leave_in_order_of_arrival(
    entries: list[Entry], batch_events: int
) -> None:
    left = [entry for batch in batches(entries, batch_events) for entry in batch]

    addresses = {entry.d for entry in entries if entry.d is not None}
    for d in addresses:
        assert [id(entry) for entry in left if entry.d == d] == [id(entry) for entry in entries if entry.d == d]
    for same in {entry.event.id for entry in entries}:
        arrived = [id(entry) for entry in entries if entry.event.id == same]
        assert [id(entry) for entry in left if entry.event.id == same] == arrived


@given(st.lists(st.booleans(), min_size=1, max_size=25))
def test_a_long_event_is_alone_and_a_short_one_waits_for_one_at_most(lengths: list[bool]) -> None:
    entries = [an_entry(number, None, is_long=is_long) for number, is_long in enumerate(lengths)]
    found = batches(entries, batch_events=len(entries))

    are_long = [[len(entry.event.tag_keys) > LONG_TAGS for entry in batch] for batch in found]
    assert all(len(batch) == 1 for batch in are_long if True in batch)
    last_short = max((at for at, batch in enumerate(are_long) if batch == [False] * len(batch)), default=0)
    until_then = are_long[: last_short + 1]
    assert ([True], [True]) not in list(pairwise(until_then))


@pytest.mark.parametrize("fill", ["events", "bytes"])
def test_a_full_queue_refuses_and_says_so(fill: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_queue, "MAX_QUEUE_BYTES", 4 if fill == "bytes" else 1_000)
    queue = WriteQueue(10, 2 if fill == "events" else 1_000)
    for number in range(2):
        queue.add(an_entry(number, None, is_long=False), ignore)

    with pytest.raises(Failed, match="too busy"):
        queue.add(an_entry(2, None, is_long=False), ignore)
    assert (len(queue), queue.bytes) == (2, 4)
    assert len(queue.clear()) == 2
    queue.add(an_entry(2, None, is_long=False), ignore)
    assert (len(queue), queue.bytes) == (1, 2)


OWNED = st.lists(st.tuples(ENTRIES.map(lambda entries: entries[:1]), st.sampled_from("abc")), max_size=25).map(
    lambda pairs: [(entry, owner) for entries, owner in pairs for entry in entries]
)


@given(OWNED, st.integers(1, 6))
def test_each_owners_events_leave_once_in_the_order_of_its_ids_and_addresses(
    owned: list[tuple[Entry, str]], batch_events: int
) -> None:
    queue = WriteQueue(batch_events, len(owned))
    for entry, owner in owned:
        queue.add(entry, ignore, owner)
    left = []
    while queue:
        batch = [entry for entry, _ in queue.take()]
        assert 0 < len(batch) <= batch_events
        assert len({entry.event.id for entry in batch}) == len(batch)
        left += batch
    assert (queue.bytes, len(queue)) == (0, 0)
    assert Counter(map(id, left)) == Counter(id(entry) for entry, _ in owned)
    for name in {owner for _, owner in owned}:
        mine = [entry for entry, owner in owned if owner == name]
        for same in {entry.event.id for entry in mine} | {entry.d for entry in mine if entry.d is not None}:
            arrived = [id(entry) for entry in mine if same in (entry.event.id, entry.d)]
            members = set(arrived)
            assert [id(entry) for entry in left if id(entry) in members] == arrived


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 8))
def test_an_owners_event_waits_for_one_of_each_other_owner(flood: int, others: int, batch_events: int) -> None:
    queue = WriteQueue(batch_events, 1_000)
    for number in range(flood):
        for owner in range(others):
            queue.add(an_entry(100 * number + owner, None, is_long=False), ignore, f"flood {owner}")
    mine = an_entry(99_999, None, is_long=False)
    queue.add(mine, ignore, "mine")

    left: list[Entry] = []
    while mine not in left:
        left += [entry for entry, _ in queue.take()]
    assert left.index(mine) == min(flood, 1) * others


def test_a_full_queue_has_room_for_who_has_less_than_a_share_of_it() -> None:
    queue = WriteQueue(10, 10)
    for number in range(10):
        queue.add(an_entry(number, None, is_long=False), ignore, "flood")
    with pytest.raises(Failed, match="too busy"):
        queue.add(an_entry(10, None, is_long=False), ignore, "flood")
    for number in range(5):
        queue.add(an_entry(20 + number, None, is_long=False), ignore, "other")
    with pytest.raises(Failed, match="too busy"):
        queue.add(an_entry(30, None, is_long=False), ignore, "other")


def test_a_full_queue_is_never_more_than_twice_full() -> None:
    queue = WriteQueue(10, 10)
    for number in range(40):
        try:
            queue.add(an_entry(number, None, is_long=False), ignore, f"{number}")
        except Failed:
            break
    assert len(queue) <= 20

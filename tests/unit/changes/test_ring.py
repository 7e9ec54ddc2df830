"""The ring: what it holds, what it refuses to say."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.changes.change import Added, Batch, Change, Purged, Removed, Vanished
from relay.changes.ring import OutOfReach, Ring
from relay.changes.sizes import LONG_TAGS
from tests.unit.changes.orders import History, additions, batches, histories, note

PLENTY = 1_000_000


def size_of(changes: list[Change]) -> int:
    """What a ring with just these changes holds."""
    ring = Ring(changes[0].seq - 1 if changes else 0, PLENTY)
    if changes:
        ring.append(Batch.of(changes))
    return ring.bytes


def keys_of(change: Change) -> set[str | int]:
    """The keys of an addition, read from its text."""
    if type(change) is not Added:
        return set()
    tags = [tag for tag in orjson.loads(change.event.json)["tags"] if len(tag) > 1 and len(tag[0]) == 1]
    return {change.event.id, change.event.pubkey, change.event.kind, *(tag[0] + tag[1] for tag in tags)}


def test_a_new_ring_is_at_its_start_and_empty() -> None:
    ring = Ring(7, PLENTY)
    assert (ring.position, ring.floor, len(ring), ring.since(7)) == (7, 7, 0, [])


def test_a_ring_that_just_began_does_not_reach_back() -> None:
    with pytest.raises(OutOfReach):
        Ring(7, PLENTY).since(6)


def test_a_batch_that_leaves_a_hole_is_refused() -> None:
    ring = Ring(0, PLENTY)
    with pytest.raises(ValueError, match="changes 1 to 4 are missing"):
        ring.append(Batch.of(additions(1, first=5)))


def test_a_refused_batch_leaves_the_ring_as_it_was() -> None:
    ring = Ring(0, PLENTY)
    with pytest.raises(ValueError):
        ring.append(Batch.of(additions(1, first=5)))
    assert (ring.position, len(ring), ring.bytes) == (0, 0, 0)


def test_a_position_ahead_of_the_ring_has_nothing_after_it() -> None:
    ring = Ring(0, PLENTY)
    ring.append(Batch.of(additions(3)))
    assert ring.since(3) == ring.since(2**62) == []


def test_a_batch_that_came_before_adds_nothing() -> None:
    ring = Ring(0, PLENTY)
    batch = Batch.of(additions(3))
    ring.append(batch)
    assert (list(ring.append(batch)), len(ring)) == ([], 3)


def test_of_a_batch_that_overlaps_only_the_new_part_is_applied() -> None:
    changes = additions(5)
    ring = Ring(0, PLENTY)
    ring.append(Batch.of(changes[:3]))
    assert list(ring.append(Batch.of(changes[1:]))) == changes[3:]


def test_a_change_larger_than_the_bound_is_not_kept() -> None:
    ring = Ring(0, 10)
    ring.append(Batch.of(additions(1)))
    assert (ring.position, ring.floor, ring.bytes, len(ring)) == (1, 1, 0, 0)


def test_an_event_is_found_until_it_is_removed() -> None:
    event = note(1)
    ring = Ring(0, PLENTY)
    ring.append(Batch.of([Added(1, event)]))
    found = ring.event(event.id)
    ring.append(Batch.of([Removed(2, event.id)]))
    assert (found, ring.event(event.id)) == (event, None)


def test_an_event_that_came_back_outlives_the_end_of_its_first_addition() -> None:
    event = note(1)
    changes: list[Change] = [Added(1, event), Removed(2, event.id), Added(3, note(1))]
    ring = Ring(0, size_of(changes[2:]))
    ring.append(Batch.of(changes))
    assert (ring.floor, ring.event(event.id)) == (2, event)


@pytest.mark.parametrize("hides", ["the request of its author", "a purge"])
def test_a_tag_that_reads_like_the_id_of_a_hidden_event_does_not_bring_it_back(hides: str) -> None:
    event = next(each for each in map(note, range(100)) if each.id[0] in "abcdef")
    other = note(1, pubkey="b" * 64, tags=[[event.id[0], event.id[1:]]])
    assert event.id in other.tag_keys
    hiding: Change = Purged(2, ((1, 1),), event.created_at + 1)
    if hides == "the request of its author":
        hiding = Vanished(2, event.pubkey, event.created_at)
    ring = Ring(0, PLENTY)
    ring.append(Batch.of([Added(1, event), hiding, Added(3, other)]))
    assert (ring.event(event.id), ring.event(other.id)) == (None, other)


@given(histories(), st.lists(st.integers(0, 30)), st.integers(0, 15_000))
def test_the_ring_holds_exactly_the_changes_after_its_floor(history: History, ends: list[int], bound: int) -> None:
    ring = Ring(0, bound)
    for batch in batches(history.changes, ends):
        ring.append(batch)
        assert ring.since(ring.floor) == history.changes[ring.floor : ring.position]
        assert ring.position == batch.last
        assert ring.evicted == ring.floor


@given(histories(), st.integers(0, 15_000))
def test_the_bound_in_bytes_holds_and_is_used(history: History, bound: int) -> None:
    ring = Ring(0, bound)
    for batch in batches(history.changes, range(len(history.changes))):
        ring.append(batch)
    assert ring.bytes == size_of(history.changes[ring.floor :]) <= bound
    assert not ring.floor or size_of(history.changes[ring.floor - 1 :]) > bound


@given(histories(), st.integers(0, 15_000), st.integers(0, 35))
def test_since_gives_what_came_after_or_refuses(history: History, bound: int, position: int) -> None:
    ring = Ring(0, bound)
    for batch in batches(history.changes, [4, 9, 20]):
        ring.append(batch)
    if position < ring.floor:
        with pytest.raises(OutOfReach):
            ring.since(position)
    else:
        assert ring.since(position) == history.changes[position:]


@given(histories(), st.integers(0, 15_000))
def test_an_event_that_is_found_is_stored(history: History, bound: int) -> None:
    ring = Ring(0, bound)
    for batch in batches(history.changes, range(len(history.changes))):
        ring.append(batch)
        kept = {event["id"] for event in history.state(ring.position)}
        lately = {change.event.id for change in history.changes[ring.floor : ring.position] if type(change) is Added}
        assert {event_id for event_id in history.pool if ring.event(event_id)} == kept & lately


@given(histories(), st.integers(0, 15_000), st.data())
def test_a_key_that_was_touched_is_never_denied(history: History, bound: int, data: st.DataObject) -> None:
    ring = Ring(0, bound)
    for batch in batches(history.changes, range(len(history.changes))):
        ring.append(batch)
    position = data.draw(st.integers(ring.floor, ring.position))
    later = [keys_of(change) for change in history.changes[position : ring.position]]
    for key in set().union(*map(keys_of, history.changes)):
        assert ring.touched([key], position) is any(key in keys for keys in later)


def test_after_an_event_with_very_many_tags_any_tag_may_be_touched() -> None:
    long = note(1, tags=[["t", str(number)] for number in range(LONG_TAGS + 1)])
    ring = Ring(0, 10 * PLENTY)
    ring.append(Batch.of([Added(1, long), Added(2, note(2, kind=7))]))
    assert ring.touched(["t5"], 0)
    assert not ring.touched(["t5"], 1)
    assert ring.touched([long.kind], 0)
    assert not ring.touched([3], 0)

"""Sizes are within a fifth of what tracemalloc measures, whatever the events are made of."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.changes.change import Added, Batch, Change
from relay.changes.overlay import newest_first
from relay.changes.ring import Ring
from relay.changes.sizes import MAX_STEP, STEP_BYTES, change_bytes, steps
from relay.changes.window import Window
from relay.protocol.event import StoredEvent
from tests.events import NOW
from tests.unit.changes.orders import additions, note

SHAPES = st.tuples(
    st.integers(0, 3_000),  # tags of an event
    st.integers(1, 64),  # length of a value
    st.integers(0, 2_000),  # digits of the content
    st.booleans(),  # the same tags in each event
)
TAGS_IN_ALL = 12_000


@contextmanager
def measured(into: list[int]) -> Iterator[None]:
    """Append the bytes that are held more at the end of the block."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
        gc.collect()
        into.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()


def texts_of(shape: tuple[int, int, int, bool], first: int) -> list[bytes]:
    """Texts of events of a shape, 200 to 500 of them unless they have many tags."""
    tags, length, content, equal = shape
    count = min(400, max(6, TAGS_IN_ALL // (tags or 1)))
    return [
        note(
            (first + number) * 10**content,
            created_at=NOW + number,
            tags=[["tre"[at % 3], f"{at if equal else at + number * tags:0{length}x}"] for at in range(tags)],
        ).json
        for number in range(count)
    ]


def in_ring(texts: list[bytes]) -> Ring:
    ring = Ring(0, 10**12)
    for seq, text in enumerate(texts, 1):
        ring.append(Batch.of([Added(seq, StoredEvent.from_json(bytes(memoryview(text))))]))
    return ring


def in_window(texts: list[bytes]) -> Window:
    window = Window(10**12)
    events = [StoredEvent.from_json(bytes(memoryview(text))) for text in texts]
    events.sort(key=newest_first)
    window.extend(events, True, [], 0)
    return window


@pytest.mark.parametrize("copy", [in_ring, in_window])
@given(shapes=st.lists(SHAPES, min_size=1, max_size=2))
@settings(max_examples=6, deadline=None)
def test_a_copy_holds_as_much_memory_as_it_says(
    copy: Callable[[list[bytes]], Ring | Window], shapes: list[tuple[int, int, int, bool]]
) -> None:
    texts = [text for number, shape in enumerate(shapes) for text in texts_of(shape, 10_000 * number)]
    found: list[int] = []
    with measured(found):
        held = copy(texts)
    assert held.bytes == pytest.approx(found[0], rel=0.2)


@given(st.lists(st.sampled_from([0, 3, 400]), max_size=300))
@settings(deadline=None)
def test_steps_are_all_changes_in_order_and_none_is_too_large(tags: list[int]) -> None:
    events = {count: note(count, tags=[["t", str(at)] for at in range(count)]) for count in set(tags)}
    changes: list[Change] = [Added(seq, events[count]) for seq, count in enumerate(tags, 1)]
    found = list(steps(changes, change_bytes))
    assert [change for step in found for change in step] == changes
    for step in found:
        assert len(step) == 1 or sum(map(change_bytes, step)) <= STEP_BYTES
        assert 1 <= len(step) <= MAX_STEP


def test_a_change_that_is_larger_than_a_step_is_one() -> None:
    long = Added(2, note(1, tags=[["t", str(at)] for at in range(9_990)]))
    assert change_bytes(long) > STEP_BYTES
    assert [len(step) for step in steps([*additions(1), long, *additions(1, first=3)], change_bytes)] == [1, 1, 1]

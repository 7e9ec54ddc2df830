"""Posting lists keep their order, and find a place in it in few steps, also when all events are of one second."""

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relay.changes.overlay import newest_first
from relay.changes.posting_lists import insert_all, remove
from relay.protocol.event import StoredEvent

EVENTS = 4_000
MOST_LOOKS = 1_500
"""For ten insertions and ten removals, each by two or three binary searches of 12 steps. Walks would look at 40,000."""

PLACES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), unique=True, max_size=120)


class Counting(list[Any]):
    """Counts how often an element is looked at."""

    looks = 0

    def __getitem__(self, place: Any) -> Any:
        self.looks += 1
        return super().__getitem__(place)


def event(number: int, second: int = 0) -> StoredEvent:
    """One whose id says nothing of its number."""
    event_id = hashlib.sha256(b"%d" % number).hexdigest()
    return StoredEvent(event_id, "a" * 64, second, 1, None, frozenset(), b"")


@given(st.lists(PLACES, max_size=4), st.randoms(use_true_random=False))
def test_events_of_few_seconds_stand_in_the_order_of_answers_reversed(groups: list[Any], chance: Any) -> None:
    postings: list[StoredEvent] = []
    known: dict[str, StoredEvent] = {}
    for group in groups:
        fresh = [each for each in (event(number, second) for second, number in group) if each.id not in known]
        fresh = list({each.id: each for each in fresh}.values())
        known |= {each.id: each for each in fresh}
        insert_all(postings, fresh)
        for gone in chance.sample([*known.values()], len(known) // 3):
            at = remove(postings, gone)
            del known[gone.id]
            assert [each.id for each in postings[:at]] == [
                each.id for each in sorted(known.values(), key=newest_first, reverse=True)[:at]
            ]
        assert postings == sorted(known.values(), key=newest_first, reverse=True)


def test_a_place_among_thousands_of_the_same_second_is_found_in_few_steps() -> None:
    postings = Counting(sorted(map(event, range(EVENTS)), key=newest_first, reverse=True))
    fresh = [event(EVENTS + number) for number in range(10)]

    for each in fresh:
        insert_all(postings, [each])
    for each in fresh:
        remove(postings, each)

    assert postings.looks < MOST_LOOKS

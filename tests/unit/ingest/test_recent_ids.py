"""The newest ids are known, and their number is bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ingest import recent_ids as module
from relay.ingest.recent_ids import RecentIds


def test_an_id_is_new_once() -> None:
    ids = RecentIds()
    assert [ids.add("ab" * 32), ids.add("ab" * 32), ids.add("cd" * 32)] == [True, False, True]


@given(st.lists(st.integers(0, 30), max_size=200), st.integers(1, 10))
def test_the_last_ids_are_known_and_not_many_more(numbers: list[int], bound: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_IDS", bound)
        ids = RecentIds()
        newest: list[int] = []  # each id once, in the order of its addition
        for number in numbers:
            is_new = ids.add(f"{number:064x}")
            assert not (is_new and number in newest[-bound:])
            assert is_new or number in newest
            if is_new:
                newest = [other for other in newest if other != number] + [number]
            assert len(ids) <= 2 * bound

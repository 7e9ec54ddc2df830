"""The table of an instance: what one worker puts there, every other one finds."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.freshness.ack_table import AckTable, make

WORKERS = 3


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = make(WORKERS)
    yield made
    os.close(made)


@given(
    st.lists(st.tuples(st.integers(0, WORKERS - 1), st.booleans(), st.integers(0, 2**53)), max_size=30),
)
def test_every_worker_reads_the_highest_number_of_its_epoch(puts: list[tuple[int, bool, int]]) -> None:
    descriptor = make(WORKERS)
    tables = [AckTable.open(descriptor, slot) for slot in range(WORKERS)]
    os.close(descriptor)
    epochs, numbers = [0] * WORKERS, [0] * WORKERS
    for worker, next_epoch, number in puts:
        if next_epoch or not epochs[worker]:
            epochs[worker] += 1
            numbers[worker] = 0
        tables[worker].put(epochs[worker], number)
        numbers[worker] = max(numbers[worker], number)
        for epoch in set(epochs) - {0}:
            known = max(n for e, n in zip(epochs, numbers, strict=True) if e == epoch)
            assert [table.highest(epoch) for table in tables] == [known] * WORKERS


def test_a_new_table_has_no_acknowledged_position(descriptor: int) -> None:
    assert AckTable.open(descriptor, 0).highest(1) == 0


def test_the_workers_of_one_start_have_one_name_and_no_other_start_has_it(descriptor: int) -> None:
    names = {AckTable.open(descriptor, slot).name for slot in range(WORKERS)}
    assert len(names) == 1
    other = make(WORKERS)
    try:
        assert names.isdisjoint({AckTable.open(other, 0).name, AckTable.of_one().name})
    finally:
        os.close(other)


def test_a_worker_that_takes_the_place_of_a_dead_one_takes_over_its_number(descriptor: int) -> None:
    AckTable.open(descriptor, 1).put(1, 7)
    again = AckTable.open(descriptor, 1)
    again.put(1, 5)
    assert again.highest(1) == 7


@pytest.mark.parametrize("slot", [-1, WORKERS])
def test_a_slot_that_the_table_has_not_is_refused(descriptor: int, slot: int) -> None:
    with pytest.raises(ValueError, match="no slot"):
        AckTable.open(descriptor, slot)

"""The intake: whatever arrives in whatever order, every change comes out once, in order."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.changes import intake as module
from relay.changes.change import Batch, Change
from relay.changes.intake import Intake
from relay.changes.ring import Ring
from relay.changes.sizes import change_bytes
from tests.unit.changes.orders import additions, batches, slices

PLENTY = 1_000_000
CHANGES = additions(24)


def intake(position: int = 0, **bounds: int) -> Intake:
    return Intake(Ring(position, PLENTY), **bounds)


def part(first: int, last: int) -> Batch:
    return Batch.of(CHANGES[first - 1 : last])


def test_what_joins_on_comes_out_at_once() -> None:
    assert list(intake().offer(part(1, 3))) == CHANGES[:3]


def test_a_batch_behind_a_gap_waits() -> None:
    taking = intake()
    assert (list(taking.offer(part(2, 3))), taking.has_gap, taking.ring.position) == ([], True, 0)


def test_what_waited_follows_what_filled_the_hole() -> None:
    taking = intake()
    taking.offer(part(4, 5))
    taking.offer(part(2, 3))
    assert (list(taking.offer(part(1, 1))), taking.has_gap) == (CHANGES[:5], False)


def test_a_second_hole_stays_open() -> None:
    taking = intake()
    taking.offer(part(6, 6))
    taking.offer(part(3, 4))
    assert (list(taking.offer(part(1, 2))), taking.has_gap) == (CHANGES[:4], True)


def test_an_applied_batch_is_ignored() -> None:
    taking = intake()
    taking.offer(part(1, 5))
    assert (list(taking.offer(part(2, 4))), taking.has_gap) == ([], False)


def test_of_two_batches_with_the_same_start_the_longer_one_is_kept() -> None:
    taking = intake()
    for batch in (part(3, 8), part(3, 4)):
        taking.offer(batch)
    assert list(taking.offer(part(1, 2))) == CHANGES[:8]


def test_more_than_may_wait_is_dropped_and_counted() -> None:
    taking = intake(max_waiting=2)
    for batch in (part(3, 3), part(5, 5), part(7, 7)):
        taking.offer(batch)
    assert (taking.dropped, list(taking.offer(part(1, 6))), taking.has_gap) == (1, CHANGES[:6], False)


def test_a_restart_drops_waiting_batches() -> None:
    taking = intake()
    taking.offer(part(3, 4))
    taking.restart(Ring(10, PLENTY))
    assert (taking.has_gap, list(taking.offer(part(11, 12)))) == (False, CHANGES[10:12])


@given(st.lists(slices(CHANGES), max_size=30), st.integers(0, 24), st.integers(1, 6))
def test_every_change_comes_out_once_and_in_order(arriving: Sequence[Batch], start: int, max_waiting: int) -> None:
    taking = intake(start, max_waiting=max_waiting)
    out: list[Change] = []
    for count, batch in enumerate(arriving, 1):
        out += taking.offer(batch)
        assert out == CHANGES[start : taking.ring.position]
        if not taking.dropped:
            assert taking.has_gap is any(other.last > taking.ring.position for other in arriving[:count])


@given(st.data())
def test_three_interleaved_sources_lose_no_change(data: st.DataObject) -> None:
    """The bus (divided as committed), the log (divided otherwise) and this process's own commits, all in any order."""
    ends = st.lists(st.integers(1, len(CHANGES) - 1))
    committed = batches(CHANGES, data.draw(ends))
    own = data.draw(st.lists(st.sampled_from(committed)))
    arriving = [*committed, *batches(CHANGES, data.draw(ends)), *own]
    taking = intake()
    out: list[Change] = []
    for batch in data.draw(st.permutations(arriving)):
        out += taking.offer(batch)
    assert (out, taking.has_gap) == (CHANGES, False)


@given(st.data())
def test_after_losses_one_read_of_the_log_closes_every_hole(data: st.DataObject) -> None:
    taking = intake(max_waiting=3)
    out: list[Change] = []
    for batch in data.draw(st.lists(slices(CHANGES), max_size=12)):
        out += taking.offer(batch)
    if taking.ring.position < len(CHANGES):
        out += taking.offer(part(taking.ring.position + 1, len(CHANGES)))
    assert (out, taking.has_gap) == (CHANGES, False)


def test_what_waits_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 5 * max(map(change_bytes, CHANGES)))
    taking = intake()
    for batch in (part(3, 4), part(7, 8), part(11, 13), part(11, 11)):
        taking.offer(batch)
    assert taking.dropped == 1
    assert list(taking.offer(part(1, 2))) == CHANGES[:4]
    assert list(taking.offer(part(5, 6))) == CHANGES[4:8]
    assert list(taking.offer(part(9, 10))) == CHANGES[8:11]


def test_one_batch_waits_however_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 0)
    taking = intake()
    taking.offer(part(3, 9))
    assert list(taking.offer(part(1, 2))) == CHANGES[:9]

"""The budget of write buffers that clients do not read."""

import pytest

from relay.transport import sending as module
from relay.transport import write_buffer
from relay.transport.counters import counters
from relay.transport.sending import Sending
from relay.transport.write_buffer import WriteBuffer

LIMIT = 100


class Holding:
    """A write buffer whose client reads when the test says so."""

    def __init__(self) -> None:
        self.unread = 0
        self.is_cut = False

    def unread_bytes(self) -> int:
        return self.unread

    def cut(self) -> None:
        self.is_cut = True


def write(sending: Sending, holder: Holding, size: int) -> None:
    holder.unread += size
    sending.hold(holder, holder.unread, size)


def holding(count: int, size: int) -> tuple[Sending, list[Holding]]:
    """A budget, and so many connections of which each holds `size` bytes."""
    sending, holders = Sending(LIMIT), [Holding() for _ in range(count)]
    for holder in holders:
        write(sending, holder, size)
    return sending, holders


def test_the_connection_that_has_read_nothing_for_the_longest_time_is_cut() -> None:
    sending, holders = holding(3, 30)
    holders[0].unread = 20
    write(sending, holders[0], 1)
    write(sending, holders[2], 30)

    assert [holder.is_cut for holder in holders] == [False, True, False]
    assert sending.total == 81


def test_a_connection_that_is_seen_to_read_only_now_is_spared() -> None:
    sending, holders = holding(3, 30)
    holders[0].unread = 25
    write(sending, holders[2], 30)

    assert [holder.is_cut for holder in holders] == [False, True, False]
    assert sending.total == 85


def test_the_connection_that_is_written_to_is_not_cut_when_all_others_have_read() -> None:
    sending, holders = holding(3, 30)
    holders[0].unread, holders[1].unread = 28, 29
    write(sending, holders[2], 30)

    assert [holder.is_cut for holder in holders] == [False, True, False]
    assert sending.total == 88


def test_the_connection_that_is_written_to_is_not_cut_when_it_is_the_first_in_order() -> None:
    sending, holders = holding(3, 30)
    write(sending, holders[0], 30)

    assert [holder.is_cut for holder in holders] == [False, True, False]
    write(sending, holders[2], 30)
    assert [holder.is_cut for holder in holders] == [True, True, False]


def test_of_connections_that_all_read_a_little_those_that_hold_the_most_are_cut() -> None:
    sending, holders = Sending(LIMIT), [Holding() for _ in range(5)]
    for holder, size in zip(holders, (10, 20, 40, 25, 5), strict=True):
        write(sending, holder, size)
    for holder in holders[:4]:
        holder.unread -= 1
    write(sending, holders[4], 60)

    assert [holder.is_cut for holder in holders] == [False, False, True, True, False]
    assert sending.total == 9 + 19 + 65


def test_each_other_connection_is_looked_at_once_however_many_have_read(monkeypatch: pytest.MonkeyPatch) -> None:
    sending, holders = holding(10, 10)
    looks: list[Holding] = []

    def read_one(holder: Holding) -> int:
        looks.append(holder)
        holder.unread -= 1
        return holder.unread

    monkeypatch.setattr(Holding, "unread_bytes", read_one)
    write(sending, holders[3], 30)

    assert looks == holders[:3] + holders[4:]
    assert sum(holder.is_cut for holder in holders) == 3


def test_one_write_looks_at_no_more_connections_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOKED_AT", 2)
    sending, holders = holding(10, 10)
    for holder in holders[:5]:
        holder.unread -= 1
    write(sending, holders[9], 5)

    assert [number for number, holder in enumerate(holders) if holder.is_cut] == [0]
    assert sending.total == 94  # of the two that it looked at, one is cut


def test_what_clients_have_read_frees_room_without_a_cut() -> None:
    sending, holders = holding(3, 30)
    for holder in holders[:2]:
        holder.unread = 5
    write(sending, holders[2], 30)

    assert not any(holder.is_cut for holder in holders)
    assert sending.total == 95
    for holder in holders:
        sending.release(holder)
    assert sending.total == 0


class Transport:
    """Takes all and sends nothing."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)

    def get_write_buffer_size(self) -> int:
        return self.size


class Connection:
    """Notes that it was dropped."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.is_aborted = False
        self.buffer = WriteBuffer(self, 16_000_000)  # type: ignore[arg-type]

    def abort(self) -> None:
        self.is_aborted = True
        self.buffer.closed = True


def test_clients_that_read_nothing_share_one_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Sending(1_000_000)
    monkeypatch.setattr(write_buffer, "sending", budget)
    before = counters.aborted_unread
    connections = [Connection() for _ in range(50)]
    for connection in connections:
        connection.transport.size = 70_000
        connection.buffer.pause_writing()
    for _ in range(20):
        for connection in connections:
            connection.buffer.send_frames([b"x" * 10_000])

    left = [connection for connection in connections if not connection.is_aborted]
    assert 0 < sum(connection.transport.size for connection in left) == budget.total <= 1_000_000
    assert counters.aborted_unread - before == len(connections) - len(left) > 30
    for connection in left:
        connection.buffer.lost()
    assert budget.total == 0

"""The outbox: order, one write a turn, the bound, and waiting for a client that reads slowly."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.subscriptions.outbox import HIGH_WATER_BYTES, Flusher, Outbox
from tests.unit.subscriptions.wires import RecordingWire, Turns


class Client:
    """An outbox, its wire, and how often it overflowed."""

    def __init__(self, *, reads: bool = True, max_bytes: int = 1_000, flusher: Flusher | None = None) -> None:
        self.wire = RecordingWire(reads=reads)
        self.turns = Turns()
        self.overflows = 0
        self.outbox = Outbox(self.wire, flusher or self.turns, max_bytes, self._overflowed)

    def _overflowed(self) -> None:
        self.overflows += 1

    def put(self, *frames: bytes) -> None:
        for frame in frames:
            self.outbox.put(frame)


def test_what_is_put_in_one_turn_leaves_in_one_write() -> None:
    client = Client()
    client.put(b"a", b"b", b"c")
    client.turns.end()
    assert client.wire.writes == [[b"a", b"b", b"c"]]


async def test_the_turn_ends_by_itself_in_a_running_loop() -> None:
    client = Client(flusher=Flusher())
    client.put(b"a", b"b")
    before = list(client.wire.writes)
    await asyncio.sleep(0)
    assert (before, client.wire.writes) == ([], [[b"a", b"b"]])


async def test_one_turn_flushes_every_outbox_that_was_written_to() -> None:
    flusher = Flusher()
    clients = [Client(flusher=flusher) for _ in range(3)]
    for client in clients:
        client.put(b"a")
    await asyncio.sleep(0)
    assert [client.wire.frames for client in clients] == [[b"a"]] * 3


def test_a_burst_beyond_the_bound_reaches_a_client_that_reads() -> None:
    client = Client(max_bytes=10)
    client.put(*[b"12345678"] * 50)
    client.turns.end()
    assert (client.wire.frames, client.overflows) == ([b"12345678"] * 50, 0)


def test_a_client_that_does_not_read_is_cut_off_once() -> None:
    client = Client(reads=False, max_bytes=10)
    client.put(*[b"12345678"] * 50)
    client.turns.end()
    assert (client.wire.ends, client.overflows, client.outbox.closed) == (["cut"], 1, True)


def test_what_is_put_after_the_end_is_dropped() -> None:
    client = Client()
    client.outbox.close()
    client.put(b"a")
    client.turns.end()
    assert (client.wire.frames, client.outbox.backlog_bytes) == ([], 0)


def test_frames_queued_at_the_end_are_dropped() -> None:
    client = Client()
    client.put(b"a")
    client.outbox.close()
    client.turns.end()
    assert client.wire.frames == []


def test_the_backlog_is_what_was_put_and_has_not_left_the_process() -> None:
    client = Client(reads=False)
    client.put(b"123")
    client.turns.end()
    client.put(b"45")
    assert client.outbox.backlog_bytes == 5


@given(st.lists(st.lists(st.integers(1, 40), max_size=8)), st.integers(1, 200))
def test_frames_leave_in_order_and_each_once(turns: Sequence[Sequence[int]], max_bytes: int) -> None:
    client = Client(max_bytes=max_bytes)
    put: list[bytes] = []
    for number, turn in enumerate(turns):
        for size in turn:
            put.append(b"%d:%d " % (number, len(put)) + b"x" * size)
            client.put(put[-1])
        client.turns.end()
    assert client.wire.frames == put


@given(st.lists(st.lists(st.integers(1, 40), max_size=8)), st.integers(1, 200))
def test_at_the_end_of_a_turn_no_more_than_the_bound_and_a_frame_is_kept(
    turns: Sequence[Sequence[int]], max_bytes: int
) -> None:
    client = Client(reads=False, max_bytes=max_bytes)
    for turn in turns:
        for size in turn:
            client.put(b"x" * size)
            assert client.outbox.backlog_bytes <= 2 * max_bytes + 40
        client.turns.end()
        assert client.outbox.backlog_bytes <= max_bytes + 40
    assert client.overflows == len(client.wire.ends) <= 1


async def test_room_is_there_at_once_for_a_client_that_keeps_up() -> None:
    client = Client(reads=False, max_bytes=10 * HIGH_WATER_BYTES)
    client.put(b"x" * HIGH_WATER_BYTES)
    await asyncio.wait_for(client.outbox.wait_for_room(), 1)
    assert len(client.wire.frames) == 1


def slow_client() -> Client:
    client = Client(reads=False, max_bytes=10 * HIGH_WATER_BYTES)
    client.put(b"x" * (HIGH_WATER_BYTES + 1))
    return client


async def test_room_is_waited_for_until_the_wire_has_drained() -> None:
    client = slow_client()
    first, second = (asyncio.ensure_future(client.outbox.wait_for_room()) for _ in range(2))
    await asyncio.sleep(0)
    assert not first.done()
    client.wire.buffered = 0
    client.outbox.drained()
    await asyncio.wait_for(asyncio.gather(first, second), 1)


async def test_a_cancelled_wait_for_room_does_not_cancel_the_others() -> None:
    client = slow_client()
    first, second = (asyncio.ensure_future(client.outbox.wait_for_room()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    client.outbox.drained()
    await asyncio.wait_for(second, 1)
    assert first.cancelled()


async def test_a_closed_outbox_has_room() -> None:
    client = slow_client()
    waiting = asyncio.ensure_future(client.outbox.wait_for_room())
    await asyncio.sleep(0)
    client.outbox.close()
    await asyncio.wait_for(waiting, 1)
    await asyncio.wait_for(client.outbox.wait_for_room(), 1)


async def test_a_drained_wire_without_waiters_is_ignored() -> None:
    client = slow_client()
    client.outbox.drained()
    client.outbox.flush()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.outbox.wait_for_room(), 0.01)

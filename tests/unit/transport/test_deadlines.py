"""Many waits with one timer."""

import asyncio

from relay.transport.deadlines import Deadlines


class Due:
    """Notes what fell due; `all_of(n)` waits for it."""

    def __init__(self) -> None:
        self.items: asyncio.Queue[int] = asyncio.Queue()
        self.deadlines = Deadlines(asyncio.get_running_loop(), 0.05, self.items.put_nowait)

    async def all_of(self, count: int) -> list[int]:
        async with asyncio.timeout(5):
            return [await self.items.get() for _ in range(count)]


async def test_items_fall_due_in_the_order_in_which_they_were_added() -> None:
    due = Due()
    for item in range(1000):
        due.deadlines.add(item)
    assert await due.all_of(1000) == list(range(1000))
    assert len(due.deadlines) == 0


async def test_nothing_falls_due_early() -> None:
    due = Due()
    loop = asyncio.get_running_loop()
    began = loop.time()
    due.deadlines.add(1)
    await due.all_of(1)
    assert loop.time() - began >= 0.049


async def test_a_discarded_item_does_not_fall_due() -> None:
    due = Due()
    for item in (1, 2, 3):
        due.deadlines.add(item)
    due.deadlines.discard(2)
    due.deadlines.discard(99)
    assert 2 not in due.deadlines
    assert await due.all_of(2) == [1, 3]


async def test_an_item_that_is_added_again_begins_anew() -> None:
    due = Due()
    due.deadlines.add(1)
    due.deadlines.add(2)
    due.deadlines.add(1)
    assert await due.all_of(2) == [2, 1]


async def test_an_item_may_be_added_and_others_discarded_while_it_falls_due() -> None:
    loop = asyncio.get_running_loop()
    seen: asyncio.Queue[int] = asyncio.Queue()

    def on_due(item: int) -> None:
        seen.put_nowait(item)
        deadlines.discard(2)
        if seen.qsize() < 2:
            deadlines.add(item)

    deadlines = Deadlines(loop, 0.05, on_due)
    deadlines.add(1)
    deadlines.add(2)
    async with asyncio.timeout(5):
        assert [await seen.get(), await seen.get()] == [1, 1]


async def test_the_timer_is_armed_again_after_a_silence() -> None:
    due = Due()
    due.deadlines.add(1)
    await due.all_of(1)
    due.deadlines.add(2)
    assert await due.all_of(1) == [2]

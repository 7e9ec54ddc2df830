"""The operators' lists of a process: read in turn, whatever store they come from."""

import asyncio

import pytest

from relay.background import BackgroundTasks
from relay.policies.lists import FOR_EVER, ListName, Lists
from relay.services.lists import ListKeeper
from relay.storage.primary import ListRow, Primary


def banned(key: str, version: int) -> ListRow:
    return ListRow(ListName.BANNED_KEY, key, FOR_EVER, False, version)


async def test_a_page_of_the_store_before_does_not_come_into_the_lists_of_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = [banned("a" * 64, 900)]
    slow, asked, enforced = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def entries_after(version: int) -> list[ListRow]:
        found = [row for row in store if row.version > version]
        if not asked.is_set():
            asked.set()
            await slow.wait()
        return found

    async def enforce() -> None:
        enforced.set()

    primary, tasks, lists = Primary(1.0), BackgroundTasks(), Lists()
    monkeypatch.setattr(primary, "list_entries_after", entries_after)
    keeper = ListKeeper(lists, primary, tasks, enforce)
    keeper.start()
    keeper.follow(900)
    await asyncio.wait_for(asked.wait(), 10)
    store[:] = [banned("b" * 64, 3)]
    beginning = asyncio.create_task(keeper.begin(3))
    await asyncio.sleep(0)  # it begins before the page of the store before has come
    slow.set()
    await asyncio.wait_for(beginning, 10)
    await asyncio.wait_for(enforced.wait(), 10)
    await tasks.stop()
    assert (set(lists.banned_keys), lists.version) == ({"b" * 64}, 3)

"""When a worker reads the table of regions: strangers cannot have the primary asked again and again."""

import asyncio
from typing import Any, cast

from relay.storage.primary import Primary
from replication.receive.table import RegionTable


class SlowPrimary:
    """Answers when it is told."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()

    async def rows(self, _statement: str) -> list[tuple[Any, ...]]:
        self.asked += 1
        await self.answers.wait()
        return []


async def test_strangers_who_come_during_a_read_have_it_read_once() -> None:
    primary = SlowPrimary()
    table = RegionTable(cast(Primary, primary))
    strangers = [asyncio.ensure_future(table.hurry()) for _ in range(100)]
    await asyncio.sleep(0)
    primary.answers.set()
    assert await asyncio.gather(*strangers) == [True] * 100
    assert not await table.hurry()
    assert primary.asked == 1
